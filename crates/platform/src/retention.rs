//! How long what is kept: classes of data, each with an owner, what makes its time begin, and the longest time after that.
//! The schedule is read from one file; that file is published, and it is what the purger runs.

use std::time::Duration;

use crate::membership::Service;

/// Whose a class of data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The login.
    Account,
    /// A service.
    Service(Service),
    /// The installation; nothing about a person.
    Installation,
}

/// What makes the time of a class begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// The person ended the owner: the service, or the account.
    Closed,
    /// The person deleted the thing.
    Deleted,
    /// It was made.
    Made,
    /// Its own time is over, or it was used up.
    Expired,
    /// What it is about has come to its end.
    Ended,
}

/// One line of a class: so long after this, and no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What makes the time begin.
    pub trigger: Trigger,
    /// The longest that it is kept after that.
    pub keep: Duration,
    /// Why it is kept that long, for people.
    pub ground: String,
}

/// A class of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataClass {
    /// Its name, `clips`.
    pub name: String,
    /// Whose.
    pub owner: Owner,
    /// What is in it, for people.
    pub what: String,
    /// The tables that hold it.
    pub tables: Vec<String>,
    /// The beginnings of names of objects that hold it.
    pub objects: Vec<String>,
    /// How long it is kept. Without any, for as long as its owner is open.
    pub rules: Vec<Rule>,
    /// Whether backups hold it.
    pub in_backups: bool,
}

/// All classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    classes: Vec<DataClass>,
}

/// A schedule that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Two classes of one name.
    #[error("the class {0:?} stands there twice")]
    Twice(String),
    /// Two rules of one trigger.
    #[error("the class {0:?} has two times for {1:?}")]
    TwoTimes(String, &'static str),
    /// A class of a person's that stays when its owner is closed.
    #[error("the class {0:?} does not say how long it stays after its owner is closed")]
    Forever(String),
}

impl From<Service> for Owner {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl Owner {
    /// Its word in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Service(service) => service.as_str(),
            Self::Installation => "installation",
        }
    }

    /// The owner of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "account" => Some(Self::Account),
            "installation" => Some(Self::Installation),
            _ => Service::from_word(word).map(Self::Service),
        }
    }
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 5] = [Self::Closed, Self::Deleted, Self::Made, Self::Expired, Self::Ended];

    /// Its word in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Deleted => "deleted",
            Self::Made => "made",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }

    /// The trigger of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }
}

impl Schedule {
    /// A schedule of these classes.
    ///
    /// # Errors
    /// [`ScheduleError`] if it contradicts itself, or would keep something of a person's for ever.
    pub fn new(classes: Vec<DataClass>) -> Result<Self, ScheduleError> {
        for (place, class) in classes.iter().enumerate() {
            if classes[..place].iter().any(|before| before.name == class.name) {
                return Err(ScheduleError::Twice(class.name.clone()));
            }
            for (place, rule) in class.rules.iter().enumerate() {
                if class.rules[..place].iter().any(|before| before.trigger == rule.trigger) {
                    return Err(ScheduleError::TwoTimes(class.name.clone(), rule.trigger.as_str()));
                }
            }
            let ends = class.rules.iter().any(|rule| rule.trigger != Trigger::Deleted);
            if class.owner != Owner::Installation && !ends {
                return Err(ScheduleError::Forever(class.name.clone()));
            }
        }
        Ok(Self { classes })
    }

    /// All classes, as the file has them.
    pub fn classes(&self) -> &[DataClass] {
        &self.classes
    }

    /// How long a class is kept after a trigger; nothing if the trigger does not end it.
    pub fn keep(&self, class: &str, trigger: Trigger) -> Option<Duration> {
        let class = self.classes.iter().find(|known| known.name == class)?;
        class.rules.iter().find(|rule| rule.trigger == trigger).map(|rule| rule.keep)
    }

    /// How long someone can take the end of an owner back: as long as the first of its classes is kept after it.
    pub fn undo_window(&self, owner: Owner) -> Duration {
        let of_owner = self.classes.iter().filter(|class| class.owner == owner);
        let closed = of_owner.flat_map(|class| &class.rules).filter(|rule| rule.trigger == Trigger::Closed);
        closed.map(|rule| rule.keep).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, rules: &[(Trigger, u64)]) -> DataClass {
        let rule = |&(trigger, days): &(Trigger, u64)| Rule {
            trigger,
            keep: Duration::from_secs(days * 86_400),
            ground: String::new(),
        };
        DataClass {
            name: name.into(),
            owner: Owner::Service(Service::Video),
            what: String::new(),
            tables: Vec::new(),
            objects: Vec::new(),
            rules: rules.iter().map(rule).collect(),
            in_backups: true,
        }
    }

    #[test]
    fn a_schedule_keeps_nothing_of_a_person_for_ever() {
        let closed = (Trigger::Closed, 30);
        assert!(Schedule::new(vec![class("clips", &[closed])]).is_ok());
        let twice = Schedule::new(vec![class("clips", &[closed]), class("clips", &[closed])]);
        assert_eq!(twice, Err(ScheduleError::Twice("clips".into())));
        let two = Schedule::new(vec![class("clips", &[closed, closed])]);
        assert_eq!(two, Err(ScheduleError::TwoTimes("clips".into(), "closed")));
        let forever = Schedule::new(vec![class("clips", &[(Trigger::Deleted, 1)])]);
        assert_eq!(forever, Err(ScheduleError::Forever("clips".into())));
    }

    #[test]
    fn the_undo_window_is_that_of_the_class_that_goes_first() {
        let rules = |days| [(Trigger::Closed, days)];
        let schedule = Schedule::new(vec![class("clips", &rules(30)), class("folders", &rules(20))]).unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(schedule.undo_window(Owner::Service(Service::Video)), day * 20);
        assert_eq!(schedule.undo_window(Owner::Service(Service::Api)), Duration::ZERO);
        assert_eq!(schedule.keep("clips", Trigger::Closed), Some(day * 30));
        assert_eq!(schedule.keep("clips", Trigger::Made), None);
    }
}
