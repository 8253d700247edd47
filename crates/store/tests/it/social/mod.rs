//! The social service: people, posts, who sees them, and what they do with them.

mod comments;
mod feeds;
mod first_clips;
mod for_you;
mod messages;
mod notices;
mod people;
mod posts;
mod search;
mod speed;
mod visibility;

use platform::{
    ActiveMembership, Bio, Caption, DisplayName, GenerationKind, Handle, IdentityId, LinkToken, MembershipEvent,
    PlaceId, PostId, Service, Switches, Timestamp, VideoId, Viewer, Visibility,
};
use store::{Generation, NewPost, NewProfile, PostEdit, PostMedia, Store};

use crate::bed::{Bed, entropy, paper};

/// A bed with a finished clip in it, which posts are made of.
pub(crate) struct Stage {
    pub(crate) bed: Bed,
    pub(crate) clip: Generation,
    pub(crate) media: PostMedia,
}

/// Someone in the social service.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) id: IdentityId,
    pub(crate) member: ActiveMembership,
    pub(crate) viewer: Viewer,
}

impl Stage {
    pub(crate) async fn on(bed: Bed) -> Self {
        let clip = bed.accept(bed.project).await;
        let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
        bed.store.finish(&lease, &bed.outputs(clip.id, 1).await, bed.now).await.unwrap();
        let clip = bed.store.generation(bed.project, clip.id).await.unwrap();
        let first = PostId::new(bed.now, entropy());
        let media = bed.objects.copy_for_post(bed.subject(), first, clip.video.as_ref().unwrap()).await.unwrap();
        Self { bed, clip, media }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.bed.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.bed.now
    }

    pub(crate) fn tick(&mut self) {
        self.bed.now = self.bed.now + std::time::Duration::from_secs(1);
    }

    pub(crate) async fn person(&self, handle: &str) -> Person {
        let (store, now) = (&self.bed.store, self.bed.now);
        let id = IdentityId::new(now, entropy());
        store.create_identity(id, &format!("{handle}@social.example"), now).await.unwrap();
        store.change_membership(id, Service::Social, MembershipEvent::Join, now).await.unwrap();
        let membership = store.membership(id, Service::Social).await.unwrap();
        let member = membership.active().unwrap();
        store.set_profile(member, &profile(handle, false), now).await.unwrap();
        Person { id, member, viewer: Viewer::member(membership.readable().unwrap()) }
    }

    /// A draft of a clip of its own.
    pub(crate) async fn draft(&self, by: Person, kind: GenerationKind, edit: PostEdit) -> (PostId, VideoId) {
        let id = PostId::new(self.bed.now, entropy());
        let mut token = [7; 16];
        token[..8].copy_from_slice(&entropy());
        let video = VideoId::new(self.bed.now, entropy());
        let generation = Generation { id: video, identity: by.id, kind, ..self.clip.clone() };
        let link_token = LinkToken::new(token);
        let post = NewPost { id, link_token, generation: &generation, media: &self.media, edit };
        self.bed.store.create_post(by.member, &post, self.bed.now).await.unwrap();
        (id, video)
    }

    pub(crate) async fn publish(&self, by: Person, id: PostId) -> PlaceId {
        let place = PlaceId::new(self.bed.now, entropy());
        self.bed.store.publish_post(by.member, id, place, self.bed.now).await.unwrap();
        place
    }

    /// A published post.
    pub(crate) async fn post(&self, by: Person, visibility: Visibility, caption: &str) -> PostId {
        let (id, _) = self.draft(by, new_clip(), edit(visibility, caption)).await;
        self.publish(by, id).await;
        id
    }
}

pub(crate) fn new_clip() -> GenerationKind {
    GenerationKind::Create { first_frame: None, characters: Vec::new() }
}

pub(crate) fn edit(visibility: Visibility, caption: &str) -> PostEdit {
    PostEdit { caption: Caption::parse(caption).unwrap(), visibility, switches: Switches::default() }
}

pub(crate) fn profile(handle: &str, closed: bool) -> NewProfile {
    NewProfile {
        handle: Handle::parse(handle).unwrap(),
        display_name: DisplayName::parse(handle).unwrap(),
        bio: Bio::default(),
        closed,
    }
}
