//! Ports for servers that must find the same port again after a restart.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which kernels take the ports of outgoing connections (32768 upwards on
/// Linux): otherwise a client's connection could sit on a killed server's port at its restart.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// A loopback TCP port that nobody listens on now.
///
/// # Panics
/// When a thousand guesses in a row are taken, which means something else is wrong.
#[must_use]
pub fn free_port() -> u16 {
    // Guessing rather than counting up: test processes run side by side and must not all try
    // the same ports.
    std::iter::repeat_with(|| fastrand::u16(RANGE))
        .take(1000)
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("one of a thousand random loopback ports is free")
}
