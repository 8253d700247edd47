//! A job's progress as server-sent events: what it is now, then every change, until it has ended.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use platform::VideoId;
use store::Generation;

use crate::app::App;
use crate::http::auth::KeyCaller;
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;
use crate::http::page::Id;
use crate::http::video_object::Video;
use crate::http::videos::{READ, video};

/// How often the job is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a stream lasts; clients connect again.
const LONGEST: Duration = Duration::from_secs(3600);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/videos/{id}/events", READ, stream_events)
            .says("Streams the video at each change until it has ended: events named `video`, whose data is the video.")
            .answers_bytes(&["text/event-stream"]),
    ]
}

/// What a stream remembers between two events.
pub(crate) struct Watch {
    app: App,
    caller: KeyCaller,
    id: VideoId,
    told: Option<Generation>,
    until: platform::Timestamp,
}

async fn stream_events(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let watch = Watch::begin(app, caller, id).await?;
    let show =
        |_: App, now: Generation| async move { Event::default().event("video").json_data(Video::from(&now)).ok() };
    Ok(watch.stream(show))
}

impl Watch {
    /// Begins to watch a video of the caller's.
    pub(crate) async fn begin(app: App, caller: KeyCaller, id: VideoId) -> Result<Self, ApiError> {
        video(&app, &caller, id).await?;
        let until = app.now() + LONGEST;
        Ok(Self { app, caller, id, told: None, until })
    }

    /// The changes as events.
    pub(crate) fn stream<F>(
        self,
        show: impl Fn(App, Generation) -> F + Copy + Send + 'static,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>>>
    where
        F: Future<Output = Option<Event>> + Send,
    {
        let events = stream::unfold(self, move |mut watch| async move {
            let now = watch.next().await?;
            Some((Ok(show(watch.app.clone(), now).await?), watch))
        });
        Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
    }

    /// The next change; nothing once the job has ended, is gone, or permission has.
    async fn next(&mut self) -> Option<Generation> {
        if self.told.as_ref().is_some_and(|told| told.state.is_final()) {
            return None;
        }
        loop {
            let member = self.app.store.membership(self.caller.identity(), platform::Service::Video).await.ok()?;
            member.at(self.app.now()).readable().ok()?;
            let now = video(&self.app, &self.caller, self.id).await.ok()?;
            let news = self.told.as_ref().is_none_or(|told| told.state != now.state || told.progress != now.progress);
            if news {
                self.told = Some(now.clone());
                return Some(now);
            }
            if self.app.now() >= self.until {
                return None;
            }
            self.app.clock.sleep(LOOK).await;
        }
    }
}
