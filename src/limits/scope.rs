//! Whose calls share one counter of a limit.

use std::fmt;

/// What calls are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    Tenant,
    Project,
    Environment,
    /// A key that names no user counts as a user of its own.
    User,
    Key,
    Model,
    Tier,
    Endpoint,
    Provider,
}

impl Dimension {
    /// In the order of names and counters.
    pub const ALL: [Dimension; 9] = [
        Dimension::Tenant,
        Dimension::Project,
        Dimension::Environment,
        Dimension::User,
        Dimension::Key,
        Dimension::Model,
        Dimension::Tier,
        Dimension::Endpoint,
        Dimension::Provider,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Tenant => "tenant",
            Dimension::Project => "project",
            Dimension::Environment => "environment",
            Dimension::User => "user",
            Dimension::Key => "key",
            Dimension::Model => "model",
            Dimension::Tier => "tier",
            Dimension::Endpoint => "endpoint",
            Dimension::Provider => "provider",
        }
    }

    /// Whether it tells who calls, rather than what is called. Those that do come
    /// first in [`Dimension::ALL`].
    pub fn is_of_the_caller(self) -> bool {
        match self {
            Dimension::Tenant
            | Dimension::Project
            | Dimension::Environment
            | Dimension::User
            | Dimension::Key => true,
            Dimension::Model | Dimension::Tier | Dimension::Endpoint | Dimension::Provider => false,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Calls that agree in all of these share a counter; with none of them, all do.
/// What belongs to a tenant (project, environment, user, key) is never told
/// apart without the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(u16);

impl Scope {
    pub const GLOBAL: Scope = Scope(0);
    pub const TENANT: Scope = Scope(1);
    pub const USER: Scope = Scope(1 | 8);

    /// Of these dimensions, in any order.
    pub fn of(dimensions: impl IntoIterator<Item = Dimension>) -> Self {
        let mut bits = 0;
        for dimension in dimensions {
            bits |= dimension.bit();
            bits |= match dimension {
                Dimension::Project | Dimension::Environment | Dimension::User | Dimension::Key => {
                    Dimension::Tenant.bit()
                }
                _ => 0,
            };
        }
        Self(bits)
    }

    /// The same within each tenant.
    #[must_use]
    pub fn within_tenant(self) -> Self {
        Self(self.0 | Dimension::Tenant.bit())
    }

    pub fn has(self, dimension: Dimension) -> bool {
        self.0 & dimension.bit() != 0
    }

    /// Whether calls of several tenants share its counters.
    pub fn is_shared(self) -> bool {
        !self.has(Dimension::Tenant)
    }

    /// Whether calls of different models may count apart.
    pub fn is_of_models(self) -> bool {
        let mut of_models = [Dimension::Model, Dimension::Tier, Dimension::Provider].into_iter();
        of_models.any(|dimension| self.has(dimension))
    }

    /// In the order of [`Dimension::ALL`].
    pub fn dimensions(self) -> impl Iterator<Item = Dimension> {
        let all = Dimension::ALL.into_iter();
        all.filter(move |dimension| self.has(*dimension))
    }
}

/// As `user-model`; the tenant is named only where it stands alone.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Scope::GLOBAL => return f.write_str("global"),
            Scope::TENANT => return f.write_str("tenant"),
            _ => {}
        }
        let named = self.dimensions().filter(|d| *d != Dimension::Tenant);
        for (index, dimension) in named.enumerate() {
            let dash = if index > 0 { "-" } else { "" };
            write!(f, "{dash}{}", dimension.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_tenant_brings_the_tenant() {
        use Dimension::{Key, Model, Project, Provider, User};
        assert_eq!(Scope::of([User]), Scope::USER);
        assert_eq!(Scope::of([Dimension::Tenant]), Scope::TENANT);
        assert!(!Scope::of([Key]).is_shared());
        assert!(Scope::of([Model, Provider]).is_shared());
        assert_eq!(Scope::of([]), Scope::GLOBAL);
        for (scope, name) in [
            (Scope::GLOBAL, "global"),
            (Scope::TENANT, "tenant"),
            (Scope::USER, "user"),
            (Scope::of([Model, Project]), "project-model"),
            (Scope::of([Provider]), "provider"),
            (Scope::of([Model]).within_tenant(), "model"),
        ] {
            assert_eq!(scope.to_string(), name);
        }
    }
}
