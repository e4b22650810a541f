//! `airgate audit`.
