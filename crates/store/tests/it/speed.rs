//! Not a test but a measurement: run it with `--release -- --ignored speed --nocapture`.

use std::time::Instant;

use platform::Timestamp;
use store::{Page, StoreError};

use crate::bed::{Bed, parameters};

#[tokio::test]
#[ignore = "a measurement; prints its figures"]
async fn a_page_of_a_hundred_thousand_on_sqlite() {
    measure(Bed::sqlite().await, "sqlite").await.unwrap();
}

#[tokio::test]
#[ignore = "a measurement; prints its figures"]
async fn a_page_of_a_hundred_thousand_on_postgres() {
    measure(Bed::postgres().await, "postgres").await.unwrap();
}

async fn measure(mut bed: Bed, name: &str) -> Result<(), StoreError> {
    let quotas = platform::Quotas { concurrent_jobs: 1_000_000, most_at_once: 10, ..platform::Quotas::DEFAULT };
    bed.store.set_tier(&platform::Tier { name: "default".into(), quotas, metered: false }).await?;
    let mut parameters = parameters("a red boat");
    let words = platform::Words { prompt: Some("a"), n: Some("10"), ..platform::Words::default() };
    let ten = platform::Parameters::of_source(&words, parameters.model.clone(), parameters.size, parameters.seconds)?;
    let start = Instant::now();
    let (mut middle, one) = (None, parameters.n);
    parameters.n = ten.n;
    for at in 0..10_000 {
        bed.now = Timestamp::from_seconds(1_790_000_000 + at);
        let generations: Vec<_> = (0..10).map(|_| bed.new_generation()).collect();
        bed.store.accept(bed.member, &bed.request(bed.project, &parameters, &generations), bed.now).await?;
        if at == 5_000 {
            middle = Some(generations[0].id);
        }
    }
    println!("{name}: 100,000 accepted, ten at a time, in {:?}", start.elapsed());
    parameters.n = one;
    let start = Instant::now();
    for _ in 0..500 {
        let generations = [bed.new_generation()];
        bed.store.accept(bed.member, &bed.request(bed.project, &parameters, &generations), bed.now).await?;
    }
    println!("{name}: one acceptance takes {:?}", start.elapsed() / 500);
    for (which, after) in [("first", None), ("middle", middle)] {
        let start = Instant::now();
        for _ in 0..500 {
            bed.store.generations(bed.project, Page { after, ..Page::default() }).await?;
        }
        println!("{name}: the {which} page of 20 takes {:?}", start.elapsed() / 500);
    }
    let start = Instant::now();
    for _ in 0..200 {
        bed.store.claim("w", &crate::bed::paper(), bed.now).await?;
    }
    println!("{name}: a claim among 100,000 takes {:?}", start.elapsed() / 200);
    Ok(())
}
