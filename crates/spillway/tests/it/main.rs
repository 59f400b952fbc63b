//! End to end: our programs as their users run them, against real servers and against none.

mod books;
mod door;
mod endings;
mod kills;
mod outages;
mod sender;
mod serve;
mod system;
mod walk;
