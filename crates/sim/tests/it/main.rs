//! What the simulation promises: that our code holds, that ten mistakes do not, and that a seed is enough.

mod coverage;
mod mutants;
mod seeds;
mod shrinking;
