//! What whoever asks the admin port may do.

use std::fmt;
use std::sync::Arc;

/// What an admin token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Sees and changes everything of one tenant.
    TenantAdmin(Arc<str>),
    /// Sees and changes everything of all tenants.
    Operator,
    /// As an operator, and makes owners.
    Owner,
}

/// Why a text is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRole {
    #[error("must be one of viewer, operator, tenant-admin, owner")]
    Unknown,
    #[error("a tenant-admin needs a tenant")]
    NeedsTenant,
    #[error("only a tenant-admin has a tenant")]
    HasTenant,
}

impl Role {
    /// # Errors
    /// See [`NoRole`].
    pub fn new(word: &str, tenant: Option<&str>) -> Result<Self, NoRole> {
        match (word, tenant) {
            ("tenant-admin", Some(tenant)) => Ok(Role::TenantAdmin(tenant.into())),
            ("tenant-admin", None) => Err(NoRole::NeedsTenant),
            ("viewer" | "operator" | "owner", Some(_)) => Err(NoRole::HasTenant),
            ("viewer", None) => Ok(Role::Viewer),
            ("operator", None) => Ok(Role::Operator),
            ("owner", None) => Ok(Role::Owner),
            _ => Err(NoRole::Unknown),
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::TenantAdmin(_) => "tenant-admin",
            Role::Operator => "operator",
            Role::Owner => "owner",
        }
    }

    pub fn tenant(&self) -> Option<&Arc<str>> {
        match self {
            Role::TenantAdmin(tenant) => Some(tenant),
            _ => None,
        }
    }

    /// Whether it may see what is of this tenant; `None`: of all of them.
    pub fn may_see(&self, tenant: Option<&str>) -> bool {
        match self {
            Role::TenantAdmin(own) => tenant == Some(own),
            _ => true,
        }
    }

    /// Whether it may change what is of this tenant; `None`: of all of them.
    pub fn may_change(&self, tenant: Option<&str>) -> bool {
        !matches!(self, Role::Viewer) && self.may_see(tenant)
    }

    /// Whether it may make a token of that role: one that changes things, and has
    /// all that the other has.
    pub fn may_grant(&self, other: &Role) -> bool {
        match (self, other) {
            (Role::Owner, _) => true,
            (Role::Operator, other) => *other != Role::Owner,
            (Role::TenantAdmin(own), Role::TenantAdmin(other)) => own == other,
            (Role::TenantAdmin(_) | Role::Viewer, _) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Role; 5] {
        [
            Role::Viewer,
            Role::TenantAdmin("a".into()),
            Role::TenantAdmin("b".into()),
            Role::Operator,
            Role::Owner,
        ]
    }

    /// Whoever could grant more than they have could climb.
    #[test]
    fn nobody_grants_more_than_they_have() {
        let tenants = [None, Some("a"), Some("b")];
        for own in all() {
            for other in all() {
                if own.may_grant(&other) {
                    for tenant in tenants {
                        assert!(own.may_see(tenant) || !other.may_see(tenant));
                        assert!(own.may_change(tenant) || !other.may_change(tenant));
                    }
                    for third in all() {
                        assert!(own.may_grant(&third) || !other.may_grant(&third));
                    }
                }
            }
        }
    }

    #[test]
    fn who_may_grant_what() {
        let granted = all().map(|own| all().map(|other| own.may_grant(&other)));
        assert_eq!(
            granted,
            [
                [false, false, false, false, false],
                [false, true, false, false, false],
                [false, false, true, false, false],
                [true, true, true, true, false],
                [true, true, true, true, true],
            ]
        );
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in all() {
            let tenant = role.tenant().map(|tenant| &**tenant);
            assert_eq!(Role::new(role.as_str(), tenant), Ok(role.clone()));
        }
        for (word, tenant, error) in [
            ("root", None, NoRole::Unknown),
            ("tenant-admin", None, NoRole::NeedsTenant),
            ("owner", Some("a"), NoRole::HasTenant),
        ] {
            assert_eq!(Role::new(word, tenant), Err(error), "{word}");
        }
    }
}
