//! What is drawn, as data.

use crate::unit::Unit;

/// Panels over one axis of time, in seconds from the start of the run.
#[derive(Clone, Debug)]
pub struct Figure {
    pub(crate) title: String,
    pub(crate) panels: Vec<Panel>,
    pub(crate) marks: Vec<Mark>,
}

/// One pair of axes with its series.
#[derive(Clone, Debug)]
pub struct Panel {
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) logarithmic: bool,
    pub(crate) shaded: bool,
    pub(crate) series: Vec<Series>,
    pub(crate) thresholds: Vec<Threshold>,
}

/// A name, points in the order of time, and how they are joined.
#[derive(Clone, Debug)]
pub struct Series {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) points: Vec<Point>,
}

/// Seconds, and a value.
pub(crate) type Point = (f64, f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Line,
    Area,
    Steps,
}

#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// A moment that goes through all panels.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at: f64,
    pub(crate) name: String,
}

impl Figure {
    /// Without panels yet. The title is what a screen reader says.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            panels: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// The next panel below.
    #[must_use]
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// A moment worth a word: a fault, the end of a spike.
    #[must_use]
    pub fn mark(mut self, seconds: f64, name: impl Into<String>) -> Self {
        self.marks.push(Mark {
            at: seconds,
            name: name.into(),
        });
        self
    }

    /// From the first to the last point and mark of all; never empty.
    pub(crate) fn span(&self) -> (f64, f64) {
        let series = self.panels.iter().flat_map(|panel| &panel.series);
        let points = series.flat_map(|series| &series.points);
        let seconds = points.map(|point| point.0);
        let seconds = seconds.chain(self.marks.iter().map(|mark| mark.at));
        let (first, last) = bounds(seconds).unwrap_or((0.0, 1.0));
        if last > first {
            (first, last)
        } else {
            (first, first + 1.0)
        }
    }
}

impl Panel {
    /// Without series yet.
    pub fn new(title: impl Into<String>, unit: Unit) -> Self {
        Self {
            title: title.into(),
            unit,
            logarithmic: false,
            shaded: false,
            series: Vec::new(),
            thresholds: Vec::new(),
        }
    }

    /// For values over several powers of ten; what is not above zero lies on the bottom.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// For series that are degrees of one thing, such as percentiles: shades of one colour, the last the
    /// strongest.
    #[must_use]
    pub fn shaded(mut self) -> Self {
        self.shaded = true;
        self
    }

    /// One more series. A panel has six colours, then they come again.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// A dashed line at what must not be crossed. One that is far above everything is named at the top, and
    /// does not press the series flat.
    #[must_use]
    pub fn threshold(mut self, name: impl Into<String>, value: f64) -> Self {
        self.thresholds.push(Threshold {
            name: name.into(),
            value,
        });
        self
    }

    /// The least and the greatest value.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let points = self.series.iter().flat_map(|series| &series.points);
        bounds(points.map(|point| point.1))
    }

    /// The least value above zero: where a logarithmic axis may begin.
    pub(crate) fn least_positive(&self) -> Option<f64> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let positive = points.map(|point| point.1).filter(|value| *value > 0.0);
        bounds(positive).map(|(least, _)| least)
    }
}

impl Series {
    /// Points joined by straight lines: what is measured now and then. A value that is no number is a gap.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Look::Line, points)
    }

    /// A line with what is under it filled: an amount.
    pub fn area(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Look::Area, points)
    }

    /// Each value holds until the next: what is set, such as a number of workers.
    pub fn steps(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Look::Steps, points)
    }

    fn new(
        name: impl Into<String>,
        look: Look,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        Self {
            name: name.into(),
            look,
            // What has no time has no place.
            points: points
                .into_iter()
                .filter(|(seconds, _)| seconds.is_finite())
                .collect(),
        }
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |found, value| match found {
        None => Some((value, value)),
        Some((least, most)) => Some((least.min(value), most.max(value))),
    })
}
