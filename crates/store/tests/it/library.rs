//! What a person made, over all of their projects.

use platform::{GenerationState, Timestamp, VideoId};
use store::{Accepted, LibraryFilter, LibraryState, NewGeneration, Shape, StoreError};

use crate::bed::{Bed, entropy, member, paper, parameters};
use crate::on_both;

on_both!(a_library_is_of_one_person_and_of_all_their_projects, the_home_is_the_oldest_project_in_use);

pub(crate) async fn make(bed: &Bed, project: platform::ProjectId, prompt: &str, second: i64) -> VideoId {
    let now = Timestamp::from_seconds(1_790_000_000 + second);
    let parameters = parameters(prompt);
    let generations = [NewGeneration { id: VideoId::new(now, entropy()), seed: 7 }];
    let request = bed.request(project, &parameters, &generations);
    match bed.store.accept(bed.member, &request, now).await.unwrap() {
        Accepted::New(generations) => generations[0].id,
        other @ Accepted::Repeated(_) => panic!("{other:?}"),
    }
}

/// A clip that is there to watch. Nothing else may wait.
pub(crate) async fn finished(bed: &Bed, prompt: &str, second: i64) -> VideoId {
    let id = make(bed, bed.project, prompt, second).await;
    let later = bed.now + std::time::Duration::from_secs(1000);
    let (lease, _) = bed.store.claim("w", &paper(), later).await.unwrap().unwrap();
    assert_eq!(lease.id(), id);
    bed.store.finish(&lease, &bed.outputs(id, 1).await, later).await.unwrap();
    id
}

/// The bed's member's clips that meet a filter.
pub(crate) async fn listed(bed: &Bed, filter: LibraryFilter<'_>) -> Vec<VideoId> {
    let page = bed.store.library(bed.member.identity(), filter, None, 20).await.unwrap();
    page.generations.iter().map(|one| one.id).collect()
}

async fn a_library_is_of_one_person_and_of_all_their_projects(bed: Bed) {
    let second = bed.another_project("second").await;
    let boat = make(&bed, bed.project, "A red Boat, 100% paper", 1).await;
    let cat = make(&bed, second, "a black cat", 2).await;
    let (lease, _) =
        bed.store.claim("w", &paper(), bed.now + std::time::Duration::from_secs(5)).await.unwrap().unwrap();
    let outputs = bed.outputs(lease.id(), 1).await;
    bed.store.finish(&lease, &outputs, bed.now).await.unwrap();
    let (done, waiting) = if lease.id() == boat { (boat, cat) } else { (cat, boat) };

    let me = bed.member.identity();
    let ask = async |filter: LibraryFilter<'_>, after, limit| {
        let page = bed.store.library(me, filter, after, limit).await.unwrap();
        (page.generations.iter().map(|one| one.id).collect::<Vec<_>>(), page.has_more)
    };
    let all = LibraryFilter::default();
    assert_eq!(ask(all, None, 9).await, (vec![cat, boat], false));
    assert_eq!(ask(all, None, 1).await, (vec![cat], true));
    assert_eq!(ask(all, Some(cat), 1).await, (vec![boat], false));
    for (words, found) in
        [("BOAT", vec![boat]), ("100%", vec![boat]), ("1%", vec![]), ("_", vec![]), ("a ", vec![cat, boat])]
    {
        assert_eq!(ask(LibraryFilter { words: Some(words), ..all }, None, 9).await.0, found, "{words}");
    }
    let in_state = |state| LibraryFilter { state: Some(state), ..all };
    assert_eq!(ask(in_state(LibraryState::Completed), None, 9).await.0, [done]);
    assert_eq!(ask(in_state(LibraryState::Unfinished), None, 9).await.0, [waiting]);
    assert_eq!(ask(in_state(LibraryState::Ended), None, 9).await.0, []);
    let shape = Shape::of(bed.store.any_generation(boat).await.unwrap().size);
    for one in Shape::ALL {
        let found = ask(LibraryFilter { shape: Some(one), ..all }, None, 9).await.0;
        assert_eq!(found.len(), if one == shape { 2 } else { 0 });
    }
    assert_eq!(bed.store.any_generation(done).await.unwrap().state, GenerationState::Completed);

    let other = member(&bed.store, "other@example.org", bed.now).await.identity();
    assert!(bed.store.library(other, all, None, 9).await.unwrap().generations.is_empty());
    let foreign = bed.store.library(other, all, Some(cat), 9).await;
    assert!(matches!(foreign, Err(StoreError::NotFound(_))));
}

async fn the_home_is_the_oldest_project_in_use(bed: Bed) {
    let me = bed.member.identity();
    let second = bed.another_project("second").await;
    assert_eq!(bed.store.home_project(me).await.unwrap(), Some(bed.project));
    bed.store.archive_project(bed.project, bed.now).await.unwrap();
    assert_eq!(bed.store.home_project(me).await.unwrap(), Some(second));
    bed.store.archive_project(second, bed.now).await.unwrap();
    assert_eq!(bed.store.home_project(me).await.unwrap(), None);
}
