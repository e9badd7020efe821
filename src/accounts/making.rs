//! New keys, tokens and names: what needs dice.

use crate::identity::format;

/// Why nothing could be made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoDice(getrandom::Error);

/// A key of 256 random bits, to be shown once.
///
/// # Errors
/// [`NoDice`].
pub fn key(test: bool) -> Result<String, NoDice> {
    Ok(format::key(random()?, test))
}

/// An admin token of 256 random bits, to be shown once.
///
/// # Errors
/// [`NoDice`].
pub fn admin_token() -> Result<String, NoDice> {
    Ok(format::admin_token(random()?))
}

/// A name for a key.
///
/// # Errors
/// [`NoDice`].
pub fn key_id() -> Result<String, NoDice> {
    Ok(format::key_id(random()?))
}

/// A name for an admin token.
///
/// # Errors
/// [`NoDice`].
pub fn token_id() -> Result<String, NoDice> {
    Ok(format::token_id(random()?))
}

/// A name for a grant.
///
/// # Errors
/// [`NoDice`].
pub fn grant_id() -> Result<String, NoDice> {
    Ok(format::grant_id(random()?))
}

/// A name for what is added to a budget.
///
/// # Errors
/// [`NoDice`].
pub fn top_up_id() -> Result<String, NoDice> {
    Ok(format::top_up_id(random()?))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], NoDice> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(NoDice)?;
    Ok(random)
}
