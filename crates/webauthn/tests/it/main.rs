//! What the crate promises: the vectors of the specification hold, and nothing else passes for a right answer.

mod forged;
mod maker;
mod vectors;
