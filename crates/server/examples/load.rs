//! Measures requests a second, and how long the slowest of a hundred took, against a `test_server` that runs already.
//!
//! ```text
//! load fill FOLDER COUNT          writes generations into the database that MISORA_DATABASE_URL or the folder names
//! load list BASE_URL KEY          GET /v1/videos, 20 at a time, from a random place in the list
//! load accept BASE_URL KEY        POST /v1/videos
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use platform::{
    Credits, GenerationKind, ModelName, Offer, Parameters, Quotas, Seconds, Service, Tier, Timestamp, VideoId, Words,
};
use server::{Clock, Config, Entropy, SystemClock, SystemEntropy};
use store::{Accept, NewGeneration, Page};

type Failure = Box<dyn std::error::Error>;

/// Requests under way at one time.
const AT_ONCE: usize = 16;
const LASTS: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fill", folder, count] => fill(Path::new(folder), count.parse()?).await,
        ["list", base, key] => {
            let ids = ids(base, key).await?;
            let next = AtomicUsize::new(0);
            let client = client();
            let url = |client: &reqwest::Client| {
                let index = next.fetch_add(7919, Ordering::Relaxed) % ids.len();
                client.get(format!("{base}/videos?after={}", ids[index])).bearer_auth(key)
            };
            measure("GET /v1/videos", || url(&client)).await
        }
        ["accept", base, key] => {
            let client = client();
            let body = r#"{"prompt":"a red boat","size":"144x80","seconds":"4"}"#;
            let request =
                || client.post(format!("{base}/videos")).bearer_auth(key).header("content-type", "application/json");
            measure("POST /v1/videos", || request().body(body)).await
        }
        _ => Err("say fill, list or accept: the first lines of this file tell how".into()),
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client can be made")
}

/// Sends requests for a while and says how fast they were answered.
async fn measure(name: &str, request: impl Fn() -> reqwest::RequestBuilder) -> Result<(), Failure> {
    let (taken, failed) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let started = Instant::now();
    let lane = async || {
        while started.elapsed() < LASTS {
            let sent = Instant::now();
            let fine = match request().send().await {
                Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
                Err(_) => false,
            };
            if fine {
                taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(sent.elapsed());
            } else {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let mut lanes = Vec::new();
    for _ in 0..AT_ONCE {
        lanes.push(lane());
    }
    join_all(lanes).await;
    let seconds = started.elapsed().as_secs_f64();
    let mut taken = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    taken.sort();
    let at = |share: f64| {
        taken.get((taken.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!(
        "{name}: {:.0} requests/s, half within {:.1} ms, 99 of 100 within {:.1} ms, {} failed; {AT_ONCE} at once for {seconds:.0} s",
        taken.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        failed.load(Ordering::Relaxed)
    );
    Ok(())
}

/// All futures of one kind, together, on this thread.
async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(move |context| {
        for slot in &mut futures {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Some thousand ids all through the list.
async fn ids(base: &str, key: &str) -> Result<Vec<String>, Failure> {
    let (client, mut ids, mut after) = (client(), Vec::new(), String::new());
    for _ in 0..1000 {
        let url = format!("{base}/videos?limit=100{after}");
        let text = client.get(url).bearer_auth(key).send().await?.text().await?;
        let page: serde_json::Value = serde_json::from_str(&text)?;
        let data = page["data"].as_array().ok_or("the list could not be read")?;
        ids.extend(data.iter().step_by(20).filter_map(|video| video["id"].as_str().map(str::to_owned)));
        match (page["has_more"].as_bool(), page["last_id"].as_str()) {
            (Some(true), Some(last)) => after = format!("&after={last}"),
            _ => break,
        }
    }
    Ok(ids)
}

/// Accepts generations for the project of `test_server`, ten in a transaction. They stay in the queue if no worker runs.
async fn fill(folder: &Path, count: usize) -> Result<(), Failure> {
    let config = Config::read(None, std::env::vars(), folder)?;
    let (store, _) = server::open(&config).await?;
    let person = store.identity_by_email("tests@example.org").await?.ok_or("start test_server once before")?;
    let member = store.membership(person.id, Service::Video).await?.active()?;
    let project = store.projects(person.id).await?.first().ok_or("there is no project")?.id;
    let quotas =
        Quotas { most_at_once: 10, concurrent_jobs: 1_000_000, requests_per_minute: 1_000_000, ..Quotas::DEFAULT };
    store.set_tier(&Tier { name: "default".into(), quotas, metered: false }).await?;
    let words = Words { prompt: Some("a red boat sails right on the sea at dusk"), n: Some("10"), ..Words::default() };
    let alias = ModelName::parse("sora-2").ok_or("this is no name")?;
    let model = ModelName::parse("test-card").ok_or("this is no name")?;
    let seconds = Seconds::new(4).ok_or("this is no length")?;
    let parameters = Parameters::of_source(&words, alias, Offer::API_SIZES[0], seconds)?;
    let started = Instant::now();
    for _ in 0..count.div_ceil(10) {
        let now = SystemClock.now();
        let generations: Vec<_> = (0..10).map(|_| NewGeneration { id: new_id(now), seed: 7 }).collect();
        let request = Accept {
            project,
            parameters: &parameters,
            kind: &GenerationKind::Create { first_frame: None, characters: Vec::new() },
            model: &model,
            total_seconds: seconds,
            price: Credits::ZERO,
            generations: &generations,
            likenesses: &[],
            idempotency: None,
            batch_line: None,
        };
        store.accept(member, &request, now).await?;
    }
    let listed = store.generations(project, Page { limit: 1, ..Page::default() }).await?.generations.len();
    println!("{count} generations in {:.0} s; the list begins with {listed}", started.elapsed().as_secs_f64());
    store.close().await;
    Ok(())
}

fn new_id(now: Timestamp) -> VideoId {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    VideoId::new(now, bytes)
}
