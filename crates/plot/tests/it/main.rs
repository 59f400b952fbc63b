//! What a figure and a page look like, and what no input can do to them.

use plot::{Figure, Page, Panel, Series, Table, Unit, Verdict};

fn figure() -> Figure {
    let latency = Panel::new("ack latency", Unit::Seconds)
        .shaded()
        .logarithmic()
        .series(Series::line(
            "p50",
            [(0.0, 0.002), (1.0, 0.003), (2.0, 0.002)],
        ))
        .series(Series::line(
            "p99",
            [(0.0, 0.012), (1.0, 0.4), (2.0, 0.014)],
        ))
        .threshold("limit", 1.0);
    let depth = Panel::new("queue", Unit::Count)
        .series(Series::area(
            "ready",
            [(0.0, 0.0), (1.0, 1_200.0), (2.0, 0.0)],
        ))
        .series(Series::line(
            "unacked",
            [(0.0, 10.0), (1.0, f64::NAN), (2.0, 20.0)],
        ));
    let workers =
        Panel::new("workers", Unit::Count).series(Series::steps("ready", [(0.0, 1.0), (1.5, 3.0)]));
    Figure::new("A spike")
        .panel(latency)
        .panel(depth)
        .panel(workers)
        .mark(1.0, "5,000/s")
}

#[test]
fn a_figure_is_drawn_as_it_was_looked_at() {
    let svg = figure().to_svg();
    let style = svg.find("<style>").unwrap()..svg.find("</style>").unwrap();
    insta::assert_snapshot!(svg.replace(&svg[style], ""));
}

#[test]
fn no_name_ends_its_element() {
    let hostile = "</script><script>alert(1)</script>\"'&";
    let panel = Panel::new(hostile, Unit::Count)
        .series(Series::line(hostile, [(0.0, 1.0)]))
        .threshold(hostile, 1.0);
    let verdict = Verdict {
        name: hostile.into(),
        value: hostile.into(),
        rule: hostile.into(),
        kept: false,
    };
    let table = Table {
        headings: vec![hostile.into()],
        rows: vec![vec![hostile.into()]],
    };
    let html = Page::new(hostile)
        .lead(hostile)
        .heading(hostile)
        .verdicts(&[verdict])
        .table(&table)
        .figure(&Figure::new(hostile).panel(panel).mark(0.5, hostile))
        .to_html();
    assert!(!html.contains("<script>alert"));
    assert_eq!(html.matches("</script>").count(), 2);
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let html = Page::new("it").figure(&figure()).to_html();
    for asks in ["src=", "href=", "@import", "url(", "fetch("] {
        assert!(!html.contains(asks), "{asks}");
    }
}

#[test]
fn whatever_there_is_to_draw_every_place_is_a_number() {
    let empty = Panel::new("it", Unit::Bytes);
    let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e15];
    let series = Series::area("it", odd.map(|value| (value, value)));
    let odd = Panel::new("it", Unit::Share).series(series.clone());
    for panel in [empty, odd.clone(), odd.logarithmic()] {
        let svg = Figure::new("it").panel(panel).to_svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
    }
    assert!(Figure::new("it").to_svg().contains("<svg"));
}
