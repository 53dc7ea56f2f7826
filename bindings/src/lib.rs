//! The only crate that knows C.
pub mod sys;
