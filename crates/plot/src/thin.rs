//! Fewer points, with every peak kept.

use crate::figure::Point;

/// About two for each unit of a figure's width: more nobody sees.
pub(crate) const POINTS_MOST: usize = 1_600;

/// At most `most` points, or those given where they are not more: of each piece of the time its least and its
/// greatest value, in their order. An average would hide the one second that matters.
pub(crate) fn thin(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let piece = points.len().div_ceil(most / 2);
    points.chunks(piece).flat_map(extremes).collect()
}

fn extremes(points: &[Point]) -> impl Iterator<Item = Point> {
    let numbered = || {
        points
            .iter()
            .enumerate()
            .filter(|(_, point)| point.1.is_finite())
    };
    let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
    let (least, most) = (numbered().min_by(by_value), numbered().max_by(by_value));
    let mut found: Vec<(usize, &Point)> = least.into_iter().chain(most).collect();
    found.sort_by_key(|(place, _)| *place);
    found.dedup_by_key(|(place, _)| *place);
    // A piece without a number stays a gap.
    let gap = found.is_empty().then(|| points[0]);
    found.into_iter().map(|(_, point)| *point).chain(gap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn peaks_and_order_stay(values in proptest::collection::vec(0.0..1e6_f64, 1..500)) {
            let points: Vec<Point> = values.iter().enumerate().map(|(n, value)| (n as f64, *value)).collect();
            let thinned = thin(&points, 50);
            prop_assert!(thinned.len() <= 50);
            prop_assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
            let most = |points: &[Point]| points.iter().map(|point| point.1).fold(f64::MIN, f64::max);
            prop_assert_eq!(most(&thinned), most(&points));
        }
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let points: Vec<Point> = (0..100)
            .map(|n| (f64::from(n), if n < 50 { f64::NAN } else { 1.0 }))
            .collect();
        assert!(thin(&points, 10)[0].1.is_nan());
    }
}
