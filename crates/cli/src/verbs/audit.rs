//! `airgate audit`: stub until the library lands.
use crate::{Exit, args};
pub(crate) fn verify(_: &args::Verify) -> Exit { Exit::Unavailable }
pub(crate) fn search(_: &args::Search) -> Exit { Exit::Unavailable }
pub(crate) fn show(_: &args::Show) -> Exit { Exit::Unavailable }
pub(crate) fn key(_: &args::Key) -> Exit { Exit::Unavailable }
