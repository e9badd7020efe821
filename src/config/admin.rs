//! Who may use the admin API besides who brings a token of it.

use crate::expressions::Expression;
use crate::identity::Role;
use crate::identity::jwt::{Expected, PublicKeys};
use crate::identity::scopes::Pattern;
use std::path::PathBuf;

/// The largest JSON Web Key Set.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// The access to the admin API.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// Names that requests may be for, in small letters, besides this machine's own
    /// (`localhost`) and addresses.
    pub hosts: Vec<String>,
    /// `None`: nobody is known by tokens of a provider.
    pub oidc: Option<OidcConfig>,
    /// Roles of clients with certificates; the first that fits counts.
    pub clients: Vec<ClientRole>,
}

/// A provider of OpenID Connect, and what its users may do.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    pub expected: Expected,
    /// As they were when the configuration was read.
    pub keys: PublicKeys,
    /// Where they are read anew when it changes; `None`: they stand in the
    /// configuration.
    pub keys_path: Option<PathBuf>,
    /// Gives the name of a role from `claims`; anything else gives none.
    pub role: Expression,
    /// Gives a tenant-admin's tenant from `claims`.
    pub tenant: Option<Expression>,
}

/// What a client may do whose certificate has such a name.
#[derive(Debug, Clone)]
pub struct ClientRole {
    /// A whole name (a URI, or a DNS name in small letters), or its beginning.
    pub name: Pattern,
    pub role: Role,
}
