//! One skill: a folder with a `SKILL.md`, read strictly by the specification of agentskills.io.

use std::path::{Path, PathBuf};

use harness_core::host::front_matter::read_text;
use harness_core::{Fault, FrontMatter};

/// The most bytes of a file that goes to the model whole; some 25,000 tokens.
pub const MOST: u64 = 100_000;
/// All fields there are.
const FIELDS: [&str; 6] =
    ["name", "description", "license", "compatibility", "metadata", "allowed-tools"];

/// A skill without fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skill {
    /// Its name, the same as its folder's.
    pub name: String,
    /// What it is for and when to use it, in one line.
    pub description: String,
    /// Where it is, as it was found.
    pub folder: PathBuf,
    /// The instructions.
    pub body: String,
}

impl Skill {
    /// Reads the skill in this folder. Nothing outside it is read, wherever a link leads.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn read(folder: &Path) -> Result<Self, Vec<Fault>> {
        let file = Path::new("SKILL.md");
        let text = read_text(folder, file, MOST).map_err(|fault| vec![fault])?;
        Self::parse(&folder.join(file), &text)
    }

    /// Takes the text of a `SKILL.md` apart. Where the file is matters: the folder has the skill's name.
    ///
    /// # Errors
    /// All faults that were found, each with its line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Fault>> {
        let mut front = FrontMatter::parse(file, text, &FIELDS)?;
        let name = front.required("name", 64);
        let description = front.required("description", 1024);
        front.text("license", usize::MAX);
        front.text("compatibility", 500);
        front.pairs("metadata");
        front.words("allowed-tools"); // checked and not obeyed: a file grants nobody anything
        let path = file.parent().unwrap_or(file);
        let folder = path.file_name().unwrap_or_default().to_string_lossy();
        match &*name {
            "" => {} // told already
            odd if !is_plain(odd) => {
                front.fault("name", format!("the name {odd:?} is not of a-z, 0-9 and single `-`"));
            }
            other if other != folder => {
                front.fault("name", format!("the name {other:?} is not the folder's, {folder:?}"));
            }
            _ => {}
        }
        if front.body.trim().is_empty() {
            front.fault("", "nothing stands after the front matter");
        }
        let body = front.sound()?.to_owned();
        Ok(Self { name, description, folder: path.to_owned(), body })
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9');
    name.split('-').all(|part| !part.is_empty() && part.chars().all(plain))
}
