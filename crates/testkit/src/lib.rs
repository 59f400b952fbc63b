//! Real servers and real programs for tests: private ones that a test may kill, and shared ones
//! in which each test gets a corner of its own.
//!
//! What only this crate does: start RabbitMQ, Redis and Postgres on free loopback ports in a
//! temporary folder, send them signals, and see to it that none of them outlives the test
//! process, however that ends ([`Leash`]). What it never does: touch a system service, a default
//! port, or any other crate of this workspace.
//!
//! Start reading at `leash.rs`, then `process.rs`; the three servers are details on top of them.
//! A test that breaks things starts its own server ([`RabbitMq::start`]); every other test uses
//! [`rabbitmq`], [`redis`] and [`postgres`].

mod leash;
pub mod peers;
mod ports;
mod process;
mod program;
mod proxy;
mod wait;

mod cluster;
mod management;
mod postgres;
mod prometheus;
mod rabbitmq;
mod redis;
mod schema;
mod server;
mod shared;
mod vhost;

pub use cluster::Cluster;
pub use leash::Leash;
pub use management::Management;
pub use ports::free_port;
pub use postgres::{PRODUCTION_SETTINGS, Postgres, is_root};
pub use program::{Program, Running};
pub use prometheus::Prometheus;
pub use proxy::{Proxy, Way};
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use schema::Database;
pub use shared::{
    SharedPostgres, SharedRabbitMq, SharedRedis, VARIABLES, Variables, postgres, rabbitmq, redis,
};
pub use vhost::Vhost;
pub use wait::{Answer, wait_until, wait_within};
