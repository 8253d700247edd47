//! The models of an installation: what each offers, and the aliases that clients know.

use crate::parameters::{Seconds, Size, invalid};
use crate::price::Rate;
use crate::refusal::{Refusal, RefusalCode};
use crate::time::Timestamp;

/// A model's name or alias: 1 to 64 of `a-z A-Z 0-9 . _ - /`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(String);

/// What an installed model can make. The lists are not empty and their first entries are its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its own name, as recipes have it.
    pub name: ModelName,
    /// What it costs.
    pub rate: Rate,
    /// When the model was made; 1970 if nobody knows.
    pub made_at: Timestamp,
    sizes: Vec<Size>,
    seconds: Vec<Seconds>,
}

/// All models of an installation. `sora-2` and the like are aliases, which the owner maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    offers: Vec<Offer>,
    aliases: Vec<(ModelName, ModelName)>,
}

/// A catalogue that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A model that offers nothing.
    #[error("model {0} offers no size or no length")]
    EmptyOffer(ModelName),
    /// Two of one name.
    #[error("model or alias {0} stands there twice")]
    Twice(ModelName),
    /// An alias of nothing.
    #[error("alias {alias} points to {model}, which is not installed")]
    Dangling {
        /// The alias.
        alias: ModelName,
        /// What it points to.
        model: ModelName,
    },
}

impl ModelName {
    /// What requests mean that name no model.
    pub const DEFAULT: &str = "sora-2";

    /// The names that programs written for the Videos API use.
    pub const KNOWN_ALIASES: [&str; 5] =
        ["sora-2", "sora-2-pro", "sora-2-2025-10-06", "sora-2-2025-12-08", "sora-2-pro-2025-10-06"];

    /// Reads a name; nothing for a text that cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        ((1..=64).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether programs that ask for this model would rather wait than have less: `sora-2-pro` and its snapshots.
    pub fn is_careful(&self) -> bool {
        Self::KNOWN_ALIASES.contains(&self.as_str()) && self.0.starts_with("sora-2-pro")
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Offer {
    /// What every size of the Videos API's documents and every length of them is.
    pub const API_SIZES: [Size; 6] = [
        Size::new(720, 1280),
        Size::new(1280, 720),
        Size::new(1024, 1792),
        Size::new(1792, 1024),
        Size::new(1080, 1920),
        Size::new(1920, 1080),
    ];

    /// What a model offers.
    ///
    /// # Errors
    /// [`CatalogueError::EmptyOffer`].
    pub fn new(name: ModelName, rate: Rate, sizes: Vec<Size>, seconds: Vec<Seconds>) -> Result<Self, CatalogueError> {
        if sizes.is_empty() || seconds.is_empty() {
            return Err(CatalogueError::EmptyOffer(name));
        }
        Ok(Self { name, rate, made_at: Timestamp::default(), sizes, seconds })
    }

    /// The sizes on offer, the default first.
    pub fn sizes(&self) -> &[Size] {
        &self.sizes
    }

    /// A size on offer.
    ///
    /// # Errors
    /// [`Refusal`] with the list.
    pub fn size(&self, text: &str) -> Result<Size, Refusal> {
        let found = Size::parse(text).filter(|size| self.sizes.contains(size));
        found.ok_or_else(|| invalid("size", text, &list(&self.sizes)))
    }

    /// The lengths on offer, the default first.
    pub fn lengths(&self) -> &[Seconds] {
        &self.seconds
    }

    /// A length on offer.
    ///
    /// # Errors
    /// [`Refusal`] with the list.
    pub fn seconds(&self, text: &str) -> Result<Seconds, Refusal> {
        let found = self.seconds.iter().find(|seconds| seconds.to_string() == text);
        found.copied().ok_or_else(|| invalid("seconds", text, &list(&self.seconds)))
    }

    /// The size of a request that names none.
    pub fn default_size(&self) -> Size {
        self.sizes[0]
    }

    /// The length of a request that names none.
    pub fn default_seconds(&self) -> Seconds {
        self.seconds[0]
    }
}

fn list(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Catalogue {
    /// The installed models and the owner's aliases (alias, model).
    ///
    /// # Errors
    /// [`CatalogueError`]; the owner's mistake.
    pub fn new(offers: Vec<Offer>, aliases: Vec<(ModelName, ModelName)>) -> Result<Self, CatalogueError> {
        let mut names: Vec<_> =
            offers.iter().map(|offer| &offer.name).chain(aliases.iter().map(|(alias, _)| alias)).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CatalogueError::Twice(pair[0].clone()));
        }
        if let Some((alias, model)) = aliases.iter().find(|(_, model)| !offers.iter().any(|offer| offer.name == *model))
        {
            return Err(CatalogueError::Dangling { alias: alias.clone(), model: model.clone() });
        }
        Ok(Self { offers, aliases })
    }

    /// The model that a request means, beside the name that it used.
    ///
    /// # Errors
    /// [`Refusal`]: not installed, and what is.
    pub fn resolve(&self, name: Option<&str>) -> Result<(ModelName, &Offer), Refusal> {
        let name = name.unwrap_or(ModelName::DEFAULT);
        self.find(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let known = list(&self.names().collect::<Vec<_>>());
            let message = format!("The model {shown:?} does not exist here. Available: {known}.");
            Refusal::new(RefusalCode::ModelNotFound, Some("model"), message)
        })
    }

    fn find(&self, name: &str) -> Option<(ModelName, &Offer)> {
        let name = ModelName::parse(name)?;
        let target = self.aliases.iter().find(|(alias, _)| *alias == name).map_or(&name, |(_, model)| model);
        let offer = self.offers.iter().find(|offer| offer.name == *target)?;
        Some((name, offer))
    }

    /// The installed models.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// All names, aliases first.
    pub fn names(&self) -> impl Iterator<Item = &ModelName> {
        self.aliases.iter().map(|(alias, _)| alias).chain(self.offers.iter().map(|offer| &offer.name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn catalogue() -> Catalogue {
        let name = |text| ModelName::parse(text).unwrap();
        let seconds = [4, 8, 12, 16, 20].map(|seconds| Seconds::new(seconds).unwrap());
        let sizes = Offer::API_SIZES[..2].to_vec();
        let offer = Offer::new(name("paper-1"), Rate::FREE, sizes, seconds.to_vec()).unwrap();
        Catalogue::new(vec![offer], vec![(name("sora-2"), name("paper-1"))]).unwrap()
    }

    #[test]
    fn a_catalogue_has_no_dangling_or_double_names() {
        let name = |text| ModelName::parse(text).unwrap();
        let offer = catalogue().offers[0].clone();
        let dangling = Catalogue::new(vec![offer.clone()], vec![(name("sora-2"), name("wan"))]);
        assert!(matches!(dangling, Err(CatalogueError::Dangling { .. })));
        let twice = Catalogue::new(vec![offer.clone(), offer], Vec::new());
        assert_eq!(twice, Err(CatalogueError::Twice(name("paper-1"))));
        assert!(ModelName::parse("two words").is_none());
    }
}
