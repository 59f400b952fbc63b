//! Pictures of a run: panels stacked over one axis of time, and pages that hold them.
//!
//! Pure: numbers in, text out, no clock and no files. A [`Figure`] becomes an SVG of its own, or stands in a
//! [`Page`], one HTML file that needs nothing else, in the reader's light or dark. Every report of the project
//! is drawn here, so that they look alike. Start with [`Figure`].
//!
//! ```
//! use plot::{Figure, Page, Panel, Series, Unit};
//!
//! let latency = Panel::new("ack latency", Unit::Seconds)
//!     .series(Series::line("p99", [(0.0, 0.012), (1.0, 0.031), (2.0, 0.014)]))
//!     .threshold("limit", 0.04);
//! let depth = Panel::new("queue", Unit::Count).series(Series::area("ready", [(0.0, 0.0), (2.0, 1_200.0)]));
//! let figure = Figure::new("A spike").panel(latency).panel(depth).mark(1.0, "5,000/s");
//! let html = Page::new("Load test").figure(&figure).to_html();
//! assert!(html.contains("<svg"));
//! ```

mod figure;
mod page;
mod scale;
mod svg;
mod thin;
mod ticks;
mod unit;

pub use figure::{Figure, Panel, Series};
pub use page::{Page, Table, Verdict};
pub use unit::Unit;
