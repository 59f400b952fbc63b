//! What a process takes of the processor.

/// The seconds it has run so far, in user and in system mode, with those of its children that have ended. Nothing
/// where there is no such process, or no `/proc`.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = ticks(&stat)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// "pid (name) state …", where the name may hold anything; `utime`, `stime`, `cutime` and `cstime` are the fields 14
/// to 17 (`man 5 proc`), the state is the third.
fn ticks(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    (fields.len() == 4).then(|| fields.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_times_are_summed_whatever_the_name_is() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 9 0 0 100 20 3 4 20 0 2 0 55 1 1";
        assert_eq!(ticks(stat), Some(127));
        assert_eq!(ticks("7 (a) S 1 2"), None);
        assert!(cpu_seconds(std::process::id()).is_some());
    }
}
