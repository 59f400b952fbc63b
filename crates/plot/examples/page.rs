//! A page with everything on it, to look at: `cargo run -p plot --example page > page.html`.

use plot::{Figure, Page, Panel, Series, Table, Unit, Verdict};

fn main() {
    let verdicts = [
        verdict("ack p99", "31 ms", "at most 40 ms", true),
        verdict("ack max", "1.2 s", "at most 1 s", false),
        verdict("lost", "0", "none", true),
        verdict("doubled", "0", "none", true),
    ];
    let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
    let totals = Table {
        headings: row(["what", "how many"]),
        rows: vec![row(["sent", "345,000"]), row(["accepted", "345,000"])],
    };
    let page = Page::new("A spike of 5,000 a second")
        .lead("two minutes on two cores")
        .verdicts(&verdicts)
        .heading("Over time")
        .figure(&figure())
        .heading("Totals")
        .table(&totals);
    print!("{}", page.to_html());
}

fn verdict(name: &str, value: &str, rule: &str, kept: bool) -> Verdict {
    Verdict {
        name: name.to_owned(),
        value: value.to_owned(),
        rule: rule.to_owned(),
        kept,
    }
}

fn figure() -> Figure {
    let is_spike = |second: f64| (30.0..90.0).contains(&second);
    let offered = move |second: f64| if is_spike(second) { 5_000.0 } else { 100.0 };
    let wave = |second: f64| 1.0 + 0.3 * (second * 0.7).sin() + 0.2 * (second * 2.9).cos();
    let ack =
        move |base: f64| move |second: f64| base * wave(second) * (1.0 + offered(second) / 900.0);
    let depth = move |second: f64| match second {
        before if before < 30.0 => 12.0,
        during if during < 90.0 => (during - 30.0) * 210.0 * wave(during),
        after => ((97.0 - after) * 1_800.0).max(9.0),
    };
    let workers = |second: f64| match second {
        few if few < 45.0 => 1.0,
        more if more < 60.0 => 2.0,
        most if most < 105.0 => 4.0,
        _ => 3.0,
    };
    let points = |value: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
        (0..=120)
            .map(|second| (f64::from(second), value(f64::from(second))))
            .collect()
    };
    let rate = Panel::new("events", Unit::PerSecond)
        .series(Series::line("offered", points(&offered)))
        .series(Series::line(
            "accepted",
            points(&|second| offered(second) * 0.97 * wave(second).min(1.0)),
        ))
        .series(Series::line(
            "applied",
            points(&|second| offered(second).min(4_200.0) * 0.9),
        ));
    let latency = Panel::new("ack latency", Unit::Seconds)
        .logarithmic()
        .shaded()
        .series(Series::line("p50", points(&ack(0.002))))
        .series(Series::line("p90", points(&ack(0.004))))
        .series(Series::line("p99", points(&ack(0.011))))
        .series(Series::line("max", points(&ack(0.03))))
        .threshold("at most", 1.0);
    let queue = Panel::new("queue", Unit::Count)
        .series(Series::area("ready", points(&depth)))
        .threshold("scales above", 1_000.0);
    let fleet = Panel::new("workers", Unit::Count).series(Series::steps("ready", points(&workers)));
    let memory = Panel::new("memory", Unit::Bytes)
        .series(Series::line(
            "ingest",
            points(&|second| 21e6 + second * 1e4),
        ))
        .series(Series::line(
            "worker",
            points(&|second| 48e6 + 6e6 * wave(second)),
        ))
        .threshold("ingest at most", 67_108_864.0);
    Figure::new("The run over time")
        .panel(rate)
        .panel(latency)
        .panel(queue)
        .panel(fleet)
        .panel(memory)
        .mark(30.0, "5,000/s")
        .mark(90.0, "100/s")
}
