//! Checks of a domain's records against zones that are right, wrong and silent.

mod records;
mod rotation;
mod servers;
mod snippet;
mod world;
