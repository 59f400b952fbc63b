//! Many dead letters: listed, filtered, exported, and sent back by a command that is killed half way.

use crate::house::{House, Site, payment};
use crate::measured;
use anyhow::{Context, ensure};
use envelope::UnixMicros;
use ledger::{Books, DeadLetter, Ledger, LetterFilter, LetterState};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// How long a replay may take to mark the first third of them.
const PATIENCE: Duration = Duration::from_secs(600);

/// Files so many letters of events that can be applied by now, and works through them.
pub async fn keep<L: Ledger + Books>(
    site: &Site,
    house: &House<L>,
    letters: usize,
) -> anyhow::Result<()> {
    file(&house.ledger, letters).await?;
    let id = format!("letter_{}", letters / 2);
    for words in [
        &["dlq", "list"][..],
        &["dlq", "list", "--event-id", &id],
        &["dlq", "list", "--error", "number 77", "--limit", "1000"],
        &["dlq", "list", "--source", "nobody"],
        &["dlq", "export", "--output", "/dev/null"],
    ] {
        let told = measured::run(site, words).await?;
        println!("  {}: {told}", words.join(" "));
    }
    interrupted(site, house, letters).await?;
    let told = measured::run(site, &["dlq", "replay", "--yes"]).await?;
    println!("  dlq replay, run again: {told}");
    let ids = (0..letters).map(|number| format!("letter_{number}"));
    house.until_applied(ids).await?;
    let dead = house.ledger.count_letters(&LetterFilter::default()).await?;
    ensure!(dead == 0, "{dead} letters are left");
    println!("  each of {letters} letters is replayed, each of their events applied once");
    Ok(())
}

async fn interrupted<L: Ledger + Books>(
    site: &Site,
    house: &House<L>,
    letters: usize,
) -> anyhow::Result<()> {
    let mut running = site.command(&["dlq", "replay", "--yes"]).spawn()?;
    let (started, third) = (Instant::now(), letters as u64 / 3);
    while replayed(house).await? < third {
        ensure!(started.elapsed() < PATIENCE, "{}", running.output());
        sleep(Duration::from_millis(200)).await;
    }
    running.kill()?;
    let (replayed, seconds) = (replayed(house).await?, started.elapsed().as_secs_f64());
    println!("  dlq replay, killed: {seconds:.1} s, {replayed} replayed");
    Ok(())
}

async fn replayed<L: Ledger + Books>(house: &House<L>) -> anyhow::Result<u64> {
    let filter = LetterFilter {
        state: Some(LetterState::Replayed),
        ..LetterFilter::default()
    };
    house
        .ledger
        .count_letters(&filter)
        .await
        .context("cannot count the replayed")
}

async fn file<L: Ledger + Books>(ledger: &L, letters: usize) -> anyhow::Result<()> {
    let letters: Vec<_> = (0..letters).map(letter).collect::<anyhow::Result<_>>()?;
    for letters in letters.chunks(500) {
        ledger.archive(letters).await?;
    }
    Ok(())
}

fn letter(number: usize) -> anyhow::Result<DeadLetter> {
    let event = payment(&format!("letter_{number}"))?;
    let pipeline = "payments".parse()?;
    Ok(DeadLetter {
        key: event.key(&pipeline),
        pipeline,
        replays: 0,
        event_id: Some(event.event_id.clone()),
        source: Some(event.source.clone()),
        reason: "retries_exhausted".to_owned(),
        class: "passing".to_owned(),
        error: format!("the downstream of number {number} was away"),
        attempts: 6,
        payload: event.body.clone(),
        headers: event.to_wire(),
        first_seen: event.received_at,
        dead_at: UnixMicros::from(SystemTime::now()),
    })
}
