//! Promises of `spec/guarantees.md` that rows and objects can prove. Each runs on an installation with rows in every table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use platform::{IdentityId, MembershipEvent, MembershipState, Owner, ReceiptId, Service, Timestamp, Trigger};
use store::{
    Closure, DEFAULT_SCHEDULE, Erased, Holding, KEEPERS, Keeper, Objects, ObjectsPlace, Receipt, Store, StoreError,
    Undone, backup, read_schedule,
};

use crate::backups::rows;
use crate::bed::{Bed, entropy, raw};
use crate::migrations::used_until;
use crate::on_both;

on_both!(
    r01_ending_a_service_leaves_every_other_as_it_was,
    r01_ending_likeness_leaves_every_other_as_it_was,
    r07_what_is_taken_back_is_as_it_was,
    r08_every_table_has_a_class_of_data,
    r08_a_number_in_the_file_changes_what_is_deleted,
    r09_an_erased_account_is_nowhere,
    an_erasure_goes_on_where_it_stopped,
    an_end_is_of_what_was_asked_and_of_nothing_else,
    who_leaves_keeps_their_limits,
);

/// The service of the neighbour: it has one table, which no part of the product knows.
const NEIGHBOUR: Keeper = Keeper {
    owner: Owner::Service(Service::Assistant),
    holdings: &[Holding::rows("echo", "echo_notes", "identity = $1")],
};

/// Whose rows the installation has.
fn mika() -> IdentityId {
    IdentityId::from_bytes(std::array::from_fn(|place| u8::from(place == 15)))
}

struct House {
    store: Store,
    url: String,
    now: Timestamp,
}

impl House {
    /// An installation with rows in every table, all of them one person's or of those around them, and a neighbour's.
    async fn on(bed: &Bed) -> Self {
        let (store, url) = used_until(bed, Store::last_version()).await;
        let id = if url.starts_with("sqlite") { "BLOB" } else { "UUID" };
        raw::execute(&url, &format!("CREATE TABLE echo_notes (identity {id} PRIMARY KEY, note TEXT NOT NULL)")).await;
        let mika = "00000000000000000000000000000001";
        let mika = if url.starts_with("sqlite") { format!("X'{mika}'") } else { format!("'{mika}'") };
        raw::execute(&url, &format!("INSERT INTO echo_notes (identity, note) VALUES ({mika}, 'hello')")).await;
        let house = Self { store: store.with_neighbour(NEIGHBOUR), url, now: bed.now - Duration::from_secs(86_400) };
        // What is being made ends before a service does.
        house.store.finish_what_is_made().await;
        for service in [Service::Social, Service::Api, Service::Assistant] {
            let state = house.store.membership(self::mika(), service).await.unwrap().state;
            if state == MembershipState::None {
                house.store.change_membership(self::mika(), service, MembershipEvent::Join, house.now).await.unwrap();
            }
        }
        house
    }

    /// All rows, table by table.
    async fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("rows-of-now");
        backup(&self.store, &Objects::open(&ObjectsPlace::Memory).unwrap(), &place).await.unwrap();
        rows(&place).into_iter().map(|(file, lines)| (file.trim_end_matches(".jsonl").to_owned(), lines)).collect()
    }

    async fn close(&self, service: Service) -> Closure {
        self.store.close_service(mika(), service, self.now, self.now).await.unwrap()
    }

    /// Erases what was closed, to its end.
    async fn finish(&self, closure: &Closure) {
        self.store.begin_erasure(closure, self.now).await.unwrap();
        let ghost = IdentityId::new(self.now, entropy());
        assert_eq!(self.store.erase_rows(closure, ghost, self.now).await.unwrap(), Erased::Rows);
        for prefix in self.store.erasure_objects(closure).await.unwrap() {
            self.store.object_deletion_done(&prefix).await.unwrap();
        }
        assert!(
            self.store.finish_erasure(closure, &receipt(closure, self.now), [9; 32], None, self.now).await.unwrap()
        );
    }
}

fn receipt(closure: &Closure, now: Timestamp) -> Receipt {
    let (identity, owner) = (closure.identity, closure.owner);
    let id = ReceiptId::new(now, entropy());
    Receipt { id, identity, owner, complete: true, written_at: now, body: "{}".into() }
}

trait FinishWhatIsMade {
    async fn finish_what_is_made(&self);
}

impl FinishWhatIsMade for Store {
    async fn finish_what_is_made(&self) {
        let project = platform::ProjectId::from_bytes(std::array::from_fn(|place| if place == 15 { 4 } else { 0 }));
        let page = store::Page { limit: 100, ..store::Page::default() };
        for generation in self.generations(project, page).await.unwrap().generations {
            self.cancel(project, generation.id, Timestamp::from_seconds(1_790_000_000)).await.unwrap();
        }
    }
}

/// Which owners have a table, by the schedule and the neighbour.
fn owners_of(table: &str) -> BTreeSet<&'static str> {
    let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
    let of = schedule.classes().iter().filter(|class| class.tables.iter().any(|known| known == table));
    let mut owners: BTreeSet<_> = of.map(|class| class.owner.as_str()).collect();
    if table == "echo_notes" {
        owners.insert("assistant");
    }
    owners
}

/// Tables in which an end itself is written down, and those of archives: they hold copies of what ends, and go with it.
const ABOUT_ENDS: [&str; 8] =
    ["memberships", "closures", "receipts", "object_deletions", "exports", "export_parts", "imports", "import_parts"];

/// All orders of all choices of these.
fn orders(of: &[Service]) -> Vec<Vec<Service>> {
    let mut all = Vec::new();
    for first in of {
        all.push(vec![*first]);
        let rest: Vec<_> = of.iter().copied().filter(|other| other != first).collect();
        for mut order in orders(&rest) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

async fn r01_ending_a_service_leaves_every_other_as_it_was(bed: Bed) {
    let orders = orders(&[Service::Video, Service::Social, Service::Api]);
    assert_eq!(orders.len(), 15);
    ends_alone(&bed, &orders).await;
}

/// The same with likeness at every place: first, last, and alone behind each other service.
async fn r01_ending_likeness_leaves_every_other_as_it_was(bed: Bed) {
    let (video, social, likeness, api) = (Service::Video, Service::Social, Service::Likeness, Service::Api);
    let mut orders = vec![vec![likeness], vec![video, social, api, likeness], vec![likeness, api, social, video]];
    for other in [video, social, api] {
        orders.extend([vec![likeness, other], vec![other, likeness]]);
    }
    for pair in [[video, social], [video, api], [social, api]] {
        orders.push(vec![pair[0], likeness, pair[1]]);
    }
    ends_alone(&bed, &orders).await;
}

async fn ends_alone(bed: &Bed, orders: &[Vec<Service>]) {
    for order in orders {
        let house = House::on(bed).await;
        if order.contains(&Service::Likeness) {
            // Its end was asked for in the fixtures.
            raw::execute(&house.url, "DELETE FROM closures WHERE service = 'likeness'").await;
        }
        for (at, service) in order.iter().enumerate() {
            let before = house.rows().await;
            let closure = house.close(*service).await;
            house.finish(&closure).await;
            let after = house.rows().await;
            for (table, lines) in &before {
                let owners = owners_of(table);
                assert!(!owners.is_empty(), "{table} has no owner");
                if ABOUT_ENDS.contains(&table.as_str()) {
                    continue;
                }
                if !owners.contains(service.as_str()) {
                    assert_eq!(after[table], *lines, "{order:?}: the end of {service} changed {table}");
                } else if table == "files" {
                    // Pictures that clips begin with are `video`'s, all other files are `api`'s.
                    let others = |lines: &[String]| -> Vec<String> {
                        let of_video =
                            |line: &&String| line.contains("input_reference") != (*service == Service::Video);
                        lines.iter().filter(of_video).cloned().collect()
                    };
                    assert_eq!(others(&after[table]), others(lines), "{order:?}");
                }
            }
            assert_eq!(house.store.held(mika(), Owner::Service(*service)).await.unwrap(), [], "{order:?}");
            // All others are as they were, those that ended before among them.
            for other in Service::ALL {
                let state = house.store.membership(mika(), other).await.unwrap().state;
                let expected = match other {
                    _ if order[..=at].contains(&other) => MembershipState::Closed,
                    Service::Likeness => MembershipState::Suspended,
                    _ => MembershipState::Active,
                };
                assert_eq!(state, expected, "{order:?} {other}");
            }
            assert!(house.store.identity(mika()).await.is_ok());
        }
        assert_eq!(raw::number(&house.url, "SELECT COUNT(*) FROM echo_notes").await, 1);
        house.store.close().await;
    }
}

async fn r07_what_is_taken_back_is_as_it_was(bed: Bed) {
    let mut house = House::on(&bed).await;
    let memberships = house.store.memberships(mika()).await.unwrap();
    let before = house.rows().await;
    let same = async |house: &House| {
        let after = house.rows().await;
        for (table, lines) in before.iter().filter(|(table, _)| *table != "memberships") {
            assert_eq!(after[table], *lines, "{table}");
        }
        assert_eq!(house.store.memberships(mika()).await.unwrap(), memberships);
    };
    let day = Duration::from_secs(86_400);
    let start = house.now;
    for service in [Service::Video, Service::Social, Service::Api, Service::Assistant] {
        house.now = start;
        let closure = house.store.close_service(mika(), service, start + day * 30, start).await.unwrap();
        assert_eq!(house.store.membership(mika(), service).await.unwrap().state, MembershipState::Closing);
        let again = house.store.close_service(mika(), service, start + day * 30, start).await;
        assert!(matches!(again, Err(StoreError::State { .. })));
        house.now = start + day * 29;
        assert_eq!(house.store.due_closures(10, house.now).await.unwrap(), []);
        let undone = house.store.undo_closure(mika(), closure.owner, house.now).await.unwrap();
        assert_eq!(undone, Undone::Back);
        same(&house).await;
        assert_eq!(house.store.undo_closure(mika(), closure.owner, house.now).await.unwrap(), Undone::TooLate);
    }
    // The whole account, and a service alone cannot come back while it ends.
    raw::execute(&house.url, "DELETE FROM closures").await;
    house.store.close_account(mika(), start + day * 30, start).await.unwrap();
    let alone = house.store.undo_closure(mika(), Owner::Service(Service::Video), start).await;
    assert!(matches!(alone, Err(StoreError::State { .. })));
    assert_eq!(house.store.undo_closure(mika(), Owner::Account, start).await.unwrap(), Undone::Back);
    assert_eq!(house.store.memberships(mika()).await.unwrap(), memberships);
    // After the erasing has begun nothing comes back.
    let closure = house.close(Service::Api).await;
    house.store.begin_erasure(&closure, house.now).await.unwrap();
    assert_eq!(house.store.undo_closure(mika(), closure.owner, house.now).await.unwrap(), Undone::TooLate);
}

async fn r08_every_table_has_a_class_of_data(bed: Bed) {
    let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
    let named: BTreeSet<_> = schedule.classes().iter().flat_map(|class| class.tables.iter().cloned()).collect();
    let there: BTreeSet<_> = raw::counts(&bed.url).await.into_iter().map(|(table, _)| table).collect();
    for table in &there {
        assert!(
            named.contains(table),
            "the table {table} has no data class: add it to crates/store/src/retention.json"
        );
    }
    for table in &named {
        assert!(there.contains(table), "the schedule names a table {table}, and there is none");
    }
    // Whatever has a class that ends with its owner is erased by someone.
    for class in schedule.classes() {
        let erased = KEEPERS.iter().any(|keeper| {
            keeper.owner == class.owner && keeper.holdings.iter().any(|holding| holding.class == class.name)
        });
        let goes = class.rules.iter().any(|rule| rule.trigger == Trigger::Closed);
        let apart = ["bans", "handles"].contains(&class.name.as_str());
        assert_eq!(erased, goes && !apart, "{}: who erases it?", class.name);
    }
    for prefix in store::OBJECT_PREFIXES {
        let has = schedule.classes().iter().any(|class| class.objects.iter().any(|known| known.starts_with(prefix)));
        assert!(has, "objects under {prefix} have no data class: add it to crates/store/src/retention.json");
    }
}

async fn r08_a_number_in_the_file_changes_what_is_deleted(bed: Bed) {
    let day = Duration::from_secs(86_400);
    let count = async |url: &str| raw::number(url, "SELECT COUNT(*) FROM notices").await;
    let (store, url) = used_until(&bed, Store::last_version()).await;
    let at = Timestamp::from_micros(raw::number(&url, "SELECT MAX(at) FROM notices").await);
    let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
    store.run_schedule(&schedule, 100, at + day * 179).await.unwrap();
    assert!(count(&url).await > 0);
    // The same moment, another number.
    let shorter = DEFAULT_SCHEDULE.replace(r#"{"after": "made", "days": 180,"#, r#"{"after": "made", "days": 90,"#);
    assert_ne!(shorter, DEFAULT_SCHEDULE);
    let gone = store.run_schedule(&read_schedule(&shorter).unwrap(), 100, at + day * 179).await.unwrap();
    assert!(gone.iter().any(|(class, _)| class == "notices"), "{gone:?}");
    assert_eq!(count(&url).await, 0);
}

async fn r09_an_erased_account_is_nowhere(bed: Bed) {
    let house = House::on(&bed).await;
    raw::execute(&house.url, "DELETE FROM closures").await;
    house.store.close_account(mika(), house.now, house.now).await.unwrap();
    // A limit that stands is known by a hash of the address, and by nothing else.
    let mut finished = Vec::new();
    loop {
        let due = house.store.due_closures(10, house.now).await.unwrap();
        let Some(closure) = due.first() else { break };
        house.finish(closure).await;
        finished.push(closure.owner);
    }
    assert_eq!(finished.last(), Some(&Owner::Account), "{finished:?}");
    assert!(house.store.identity(mika()).await.is_err());
    let standing = raw::number(&house.url, "SELECT COUNT(*) FROM standing_limits WHERE service = 'likeness'").await;
    assert_eq!(standing, 1);
    // What stays stays for so long, and no longer.
    let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
    let longest = schedule.classes().iter().flat_map(|class| &class.rules).map(|rule| rule.keep).max().unwrap();
    let later = house.now + longest + Duration::from_secs(1);
    house.store.run_schedule(&schedule, 1000, later).await.unwrap();
    let id = "00000000000000000000000000000001";
    for (table, lines) in house.rows().await {
        let installation = owners_of(&table).iter().all(|owner| *owner == "installation");
        for line in lines.iter().filter(|_| !installation) {
            assert!(!line.contains("mika") && !line.contains(id), "{table}: {line}");
        }
    }
    assert_eq!(raw::number(&house.url, "SELECT COUNT(*) FROM standing_limits").await, 0);
}

async fn an_erasure_goes_on_where_it_stopped(bed: Bed) {
    let house = House::on(&bed).await;
    let closure = house.close(Service::Video).await;
    let counted = house.store.begin_erasure(&closure, house.now).await.unwrap();
    assert!(counted.iter().any(|held| held.class == "clips" && held.count > 0), "{counted:?}");
    // Killed after some rows went: what was counted stays, and the next start finishes.
    let ghost = IdentityId::new(house.now, entropy());
    house.store.erase_rows(&closure, ghost, house.now).await.unwrap();
    let found = house.store.due_closures(10, house.now).await.unwrap();
    let again = found.iter().find(|known| known.owner == closure.owner).unwrap();
    assert_eq!(house.store.begin_erasure(again, house.now).await.unwrap(), counted);
    house.finish(again).await;
    // Of two nodes one finishes.
    let receipt = receipt(again, house.now);
    assert!(!house.store.finish_erasure(again, &receipt, [9; 32], None, house.now).await.unwrap());
    assert_eq!(house.store.membership(mika(), Service::Video).await.unwrap().state, MembershipState::Closed);
}

async fn an_end_is_of_what_was_asked_and_of_nothing_else(bed: Bed) {
    let house = House::on(&bed).await;
    raw::execute(&house.url, "DELETE FROM closures").await;
    let (store, later) = (&house.store, house.now + Duration::from_secs(30 * 86_400));
    let video = store.close_service(mika(), Service::Video, later, house.now).await.unwrap();
    // Nobody asked for the end of the account: nothing hurries.
    assert!(matches!(store.erase_now(mika(), Owner::Account, house.now).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.closure(mika(), video.owner).await.unwrap().unwrap().erase_at, later);
    assert_eq!(store.undo_closure(mika(), video.owner, house.now).await.unwrap(), Undone::Back);

    // While an account ends, nothing new begins in it; once one of its services goes, it does not come back as if nothing were.
    let account = store.close_account(mika(), later, house.now).await.unwrap();
    let join = store.change_membership(mika(), Service::Assistant, MembershipEvent::Join, house.now).await;
    assert!(matches!(join, Err(StoreError::State { .. })), "{join:?}");
    let video = store.closure(mika(), video.owner).await.unwrap().unwrap();
    store.begin_erasure(&video, later).await.unwrap();
    assert_eq!(store.undo_closure(mika(), account.owner, later).await.unwrap(), Undone::TooLate);

    // A node that comes too late changes nothing: the end is another one's by now.
    house.finish(&video).await;
    assert!(matches!(store.begin_erasure(&video, later).await, Err(StoreError::NotFound(_))));
    let ghost = IdentityId::new(house.now, entropy());
    assert!(matches!(store.erase_rows(&video, ghost, later).await, Err(StoreError::NotFound(_))));
}

async fn who_leaves_keeps_their_limits(bed: Bed) {
    let house = House::on(&bed).await;
    let (store, now, social) = (&house.store, house.now, Service::Social);
    let state = async || store.membership(mika(), social).await.unwrap().state;
    // Decided while it was ending.
    let closure = house.close(social).await;
    store.change_membership(mika(), social, MembershipEvent::Suspend, now).await.unwrap();
    assert_eq!(state().await, MembershipState::Closing);
    store.undo_closure(mika(), closure.owner, now).await.unwrap();
    assert_eq!(state().await, MembershipState::Suspended);
    // A day's suspension does not shield from a longer one; a shorter one changes nothing.
    store.change_membership(mika(), social, MembershipEvent::Restore, now).await.unwrap();
    let day = Some(now + Duration::from_secs(86_400));
    store.change_membership_until(mika(), social, MembershipEvent::Suspend, day, now).await.unwrap();
    store.change_membership(mika(), social, MembershipEvent::Suspend, now).await.unwrap();
    assert_eq!(store.membership(mika(), social).await.unwrap().limited_until, None);
    assert!(store.change_membership_until(mika(), social, MembershipEvent::Suspend, day, now).await.is_err());
    // It stands when they end it and join again.
    let closure = house.close(social).await;
    house.finish(&closure).await;
    store.change_membership(mika(), social, MembershipEvent::Join, now).await.unwrap();
    assert_eq!(state().await, MembershipState::Suspended);
}
