use crate::{Failure, repo::Repo};
pub(crate) const HELP: &str = "";
pub(crate) fn run(_: &Repo, _: &[String]) -> Result<(), Failure> {
    Ok(())
}
