//! The command as its users run it: exit code, standard output, standard error.

mod audit;
mod broken;
mod command;
mod fixture;
mod good;
mod identity;
mod kill;
mod peers;
mod reference;
mod serve;
