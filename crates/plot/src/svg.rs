//! Draws a figure.

use crate::figure::{Figure, Look, Panel, Point, Series};
use crate::scale::Scale;
use crate::thin::{POINTS_MOST, thin};
use crate::ticks::moment;
use serde::Serialize;
use std::fmt::Write;

/// The paper, in units of which about one is a pixel.
const WIDTH: f64 = 960.0;
/// Room for `500 ms` and `1.25M/s`.
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 12.0;
/// Room above a panel for its title and legend.
const HEADER: f64 = 30.0;
const PLOT: f64 = 128.0;
/// Between panels.
const GAP: f64 = 18.0;
/// Room below the last panel for the axis of time, and above the first for the names of marks.
const FOOTER: f64 = 26.0;
const COLOURS: usize = 6;

/// The colours and the type, for an SVG alone and for the page.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Where everything lies, so that a page can say what is under the pointer.
#[derive(Debug, Serialize)]
pub(crate) struct Readout {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    from: f64,
    until: f64,
    panels: Vec<ReadoutPanel>,
}

#[derive(Debug, Serialize)]
struct ReadoutPanel {
    title: String,
    series: Vec<ReadoutSeries>,
}

#[derive(Debug, Serialize)]
struct ReadoutSeries {
    name: String,
    colour: String,
    /// Seconds, the height on the paper, and the value in words.
    points: Vec<(f64, f64, String)>,
}

impl Figure {
    /// The figure as an SVG of its own, with its style in it.
    pub fn to_svg(&self) -> String {
        self.draw(&format!("<style>{STYLE}</style>")).0
    }

    /// The figure for a page that has the style, and what lies where.
    pub(crate) fn for_page(&self) -> (String, Readout) {
        self.draw("")
    }

    fn draw(&self, style: &str) -> (String, Readout) {
        let (from, until) = self.span();
        let time = Scale::of_time((from, until), LEFT, RIGHT);
        let top = if self.marks.is_empty() { 0.0 } else { FOOTER };
        let mut pen = Pen::default();
        let mut panels = Vec::new();
        let mut at = top;
        for panel in &self.panels {
            panels.push(pen.panel(panel, &time, at));
            at += HEADER + PLOT + GAP;
        }
        let bottom = at - GAP;
        pen.time_axis(&time, until - from, bottom);
        pen.marks(self, &time, top, bottom);
        let svg = format!(
            "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
             aria-label=\"{}\">{style}<rect class=\"paper\" width=\"100%\" height=\"100%\"/>{}</svg>",
            bottom + FOOTER,
            escape(&self.title),
            pen.svg
        );
        let readout = Readout {
            left: LEFT,
            right: RIGHT,
            top: top + HEADER,
            bottom,
            from,
            until,
            panels,
        };
        (svg, readout)
    }
}

/// Writes SVG.
#[derive(Debug, Default)]
struct Pen {
    svg: String,
}

impl Pen {
    fn panel(&mut self, panel: &Panel, time: &Scale, at: f64) -> ReadoutPanel {
        let (top, bottom) = (at + HEADER, at + HEADER + PLOT);
        let values = Scale::of_values(panel, bottom, top);
        self.text("title", LEFT, at + 18.0, &panel.title);
        self.legend(panel, at + 18.0);
        self.grid(panel, time, &values, (top, bottom));
        let mut series = Vec::new();
        for (number, one) in panel.series.iter().enumerate() {
            let points = thin(&one.points, POINTS_MOST);
            let colour = colour(panel, number);
            self.series(one, &points, &colour, time, &values, bottom);
            let shown = points.iter().filter(|point| point.1.is_finite());
            let place =
                |point: &Point| (point.0, values.place(point.1), panel.unit.format(point.1));
            series.push(ReadoutSeries {
                name: one.name.clone(),
                colour,
                points: shown.map(place).collect(),
            });
        }
        self.thresholds(panel, &values, top);
        ReadoutPanel {
            title: panel.title.clone(),
            series,
        }
    }

    /// From the right, so that it ends where the panel does.
    fn legend(&mut self, panel: &Panel, y: f64) {
        let mut right = RIGHT;
        for (number, series) in panel.series.iter().enumerate().rev() {
            self.text("legend end", right, y, &series.name);
            right -= text_width(&series.name) + 6.0;
            let (left, height) = (right - 14.0, y - 4.0);
            self.push(format_args!(
                "<line class=\"key {}\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{height:.1}\" y2=\"{height:.1}\"/>",
                colour(panel, number)
            ));
            right = left - 14.0;
        }
    }

    fn grid(&mut self, panel: &Panel, time: &Scale, values: &Scale, (top, bottom): (f64, f64)) {
        for &tick in &time.ticks {
            let x = time.place(tick);
            self.push(format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"
            ));
        }
        for (number, &tick) in values.ticks.iter().enumerate() {
            let y = values.place(tick);
            let class = if number == 0 { "axis" } else { "grid" };
            self.push(format_args!(
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            ));
            self.text("tick end", LEFT - 8.0, y + 4.0, &panel.unit.format(tick));
        }
    }

    fn series(
        &mut self,
        series: &Series,
        points: &[Point],
        colour: &str,
        time: &Scale,
        values: &Scale,
        bottom: f64,
    ) {
        let place = |point: &Point| (time.place(point.0), values.place(point.1));
        for run in points.split(|point| !point.1.is_finite()) {
            let places: Vec<_> = run.iter().map(place).collect();
            let ([first, ..], [.., last]) = (places.as_slice(), places.as_slice()) else {
                continue;
            };
            let path = path(&places, series.look);
            if series.look == Look::Area {
                self.push(format_args!(
                    "<path class=\"area {colour}\" d=\"{path}V{bottom}H{:.1}Z\"/>",
                    first.0
                ));
            }
            if places.len() == 1 {
                let (x, y) = *last;
                self.push(format_args!(
                    "<circle class=\"dot {colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"
                ));
            } else {
                self.push(format_args!("<path class=\"line {colour}\" d=\"{path}\"/>"));
            }
        }
    }

    fn thresholds(&mut self, panel: &Panel, values: &Scale, top: f64) {
        for threshold in &panel.thresholds {
            let words = format!("{} {}", threshold.name, panel.unit.format(threshold.value));
            if !values.holds(threshold.value) {
                self.text("limit end", RIGHT - 4.0, top + 13.0, &format!("{words} ↑"));
                continue;
            }
            let y = values.place(threshold.value);
            self.push(format_args!(
                "<line class=\"limit-line\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            ));
            // Under a line that lies at the top, above any other.
            let beside = if y - top < 16.0 { 13.0 } else { -5.0 };
            self.text("limit end", RIGHT - 4.0, y + beside, &words);
        }
    }

    fn time_axis(&mut self, time: &Scale, span: f64, bottom: f64) {
        for &tick in &time.ticks {
            let x = time.place(tick);
            // The outermost must not hang over the edge.
            let class = if x > RIGHT - 12.0 {
                "tick end"
            } else {
                "tick middle"
            };
            self.text(class, x, bottom + 17.0, &moment(tick, span));
        }
    }

    fn marks(&mut self, figure: &Figure, time: &Scale, top: f64, bottom: f64) {
        let mut free = f64::MIN;
        let mut marks: Vec<_> = figure.marks.iter().collect();
        marks.sort_by(|one, other| one.at.total_cmp(&other.at));
        for mark in marks {
            let x = time.place(mark.at);
            self.push(format_args!(
                "<line class=\"mark-line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom}\"/>",
                top - 6.0
            ));
            let width = text_width(&mark.name);
            let left = x.min(RIGHT - width);
            // A name that would run into the one before it is left to the line's tooltip.
            if left >= free {
                self.text("mark", left, top - 10.0, &mark.name);
                free = left + width + 8.0;
            }
        }
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escape(text)
        ));
    }

    fn push(&mut self, piece: std::fmt::Arguments<'_>) {
        self.svg
            .write_fmt(piece)
            .expect("a string takes everything");
        self.svg.push('\n');
    }
}

fn path(places: &[(f64, f64)], look: Look) -> String {
    let mut path = String::new();
    for (number, (x, y)) in places.iter().enumerate() {
        let written = match (number, look) {
            (0, _) => write!(path, "M{x:.1} {y:.1}"),
            (_, Look::Line | Look::Area) => write!(path, "L{x:.1} {y:.1}"),
            (_, Look::Steps) => write!(path, "H{x:.1}V{y:.1}"),
        };
        written.expect("a string takes everything");
    }
    path
}

/// The class that gives a series its colour; shades end in the strongest.
fn colour(panel: &Panel, number: usize) -> String {
    if panel.shaded {
        let strongest = panel.series.len().saturating_sub(1);
        format!("shade{}", (strongest - number).min(3))
    } else {
        format!("colour{}", number % COLOURS)
    }
}

/// Room for a text: the type is 12 units high, and no word of ours is wider than this on average.
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 7.4
}

/// Text as it stands in XML and in HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
