//! How a person looks in the paper world: a cut-out with skin, hair, shirt, hat and glasses. The words are those that the paper model
//! learned; a test in the binary holds the two together.

use std::fmt;

macro_rules! looks {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = concat!("“", $word, "”.")] $variant,)+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one of this word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    )*};
}

looks! {
    /// The skin.
    Skin { Pale = "pale", Light = "light", Tan = "tan", Brown = "brown", Dark = "dark", }
    /// How the hair is worn.
    HairStyle { Short = "short", Long = "long", Curly = "curly", Bun = "bun", }
    /// The colour of the hair.
    HairColour { Black = "black", Brown = "brown", Blond = "blond", Red = "red", Grey = "grey", }
    /// What is on the head.
    Hat { Bare = "no hat", Cap = "cap", TopHat = "top hat", Beanie = "beanie", }
    /// The colour of the shirt.
    Shirt {
        Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Blue = "blue", Purple = "purple", Pink = "pink",
        Brown = "brown", Black = "black", White = "white", Grey = "grey",
    }
}

/// A person as a paper cut-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Puppet {
    /// The skin.
    pub skin: Skin,
    /// How the hair is worn.
    pub hair_style: HairStyle,
    /// The colour of the hair.
    pub hair_colour: HairColour,
    /// The colour of the shirt.
    pub shirt: Shirt,
    /// What is on the head.
    pub hat: Hat,
    /// Whether there are glasses.
    pub glasses: bool,
}

impl Puppet {
    /// Reads the line that [`fmt::Display`] writes.
    pub fn read(line: &str) -> Option<Self> {
        let mut parts = line.split(';');
        let mut next = || parts.next();
        let puppet = Self {
            skin: Skin::from_word(next()?)?,
            hair_style: HairStyle::from_word(next()?)?,
            hair_colour: HairColour::from_word(next()?)?,
            shirt: Shirt::from_word(next()?)?,
            hat: Hat::from_word(next()?)?,
            glasses: match next()? {
                "glasses" => true,
                "none" => false,
                _ => return None,
            },
        };
        next().is_none().then_some(puppet)
    }

    /// The puppet in the words of a prompt.
    pub fn phrase(&self) -> String {
        let hair = match self.hair_style {
            HairStyle::Bun => format!("{} hair in a bun", self.hair_colour.as_str()),
            style => format!("{} {} hair", style.as_str(), self.hair_colour.as_str()),
        };
        let mut looks = vec![format!("{} skin", self.skin.as_str()), hair];
        if self.glasses {
            looks.push("glasses".into());
        }
        if self.hat != Hat::Bare {
            looks.push(format!("a {}", self.hat.as_str()));
        }
        let last = looks.pop().unwrap_or_default();
        let article = if self.shirt == Shirt::Orange { "an" } else { "a" };
        format!("a person with {} and {last} in {article} {} shirt", looks.join(", "), self.shirt.as_str())
    }
}

impl fmt::Display for Puppet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let glasses = if self.glasses { "glasses" } else { "none" };
        let Self { skin, hair_style, hair_colour, shirt, hat, .. } = self;
        let words = [skin.as_str(), hair_style.as_str(), hair_colour.as_str(), shirt.as_str(), hat.as_str(), glasses];
        f.write_str(&words.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_puppet_is_read_as_it_was_written_and_told_in_words() {
        let puppet = Puppet {
            skin: Skin::Tan,
            hair_style: HairStyle::Bun,
            hair_colour: HairColour::Grey,
            shirt: Shirt::Orange,
            hat: Hat::TopHat,
            glasses: true,
        };
        assert_eq!(Puppet::read(&puppet.to_string()), Some(puppet));
        assert_eq!(
            puppet.phrase(),
            "a person with tan skin, grey hair in a bun, glasses and a top hat in an orange shirt"
        );
        let plain =
            Puppet { hair_style: HairStyle::Long, hat: Hat::Bare, glasses: false, shirt: Shirt::Blue, ..puppet };
        assert_eq!(plain.phrase(), "a person with tan skin and long grey hair in a blue shirt");
        for line in ["", "tan", "tan;bun;grey;orange;top hat;glasses;more", "tan;bun;grey;orange;top hat;maybe"] {
            assert_eq!(Puppet::read(line), None, "{line}");
        }
    }
}
