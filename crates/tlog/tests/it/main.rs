//! The tree, tiles and notes against public vectors and code that is not ours.

mod note;
mod tree;
mod vectors;
