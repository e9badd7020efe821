//! Who asks, and what each page needs.

use super::answer::Wrong;
use crate::identity::Role;
use crate::units::UnixMillis;
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// As the audit names them.
    pub name: Arc<str>,
    pub role: Role,
    /// When what they brought ends.
    pub ends_at: Option<UnixMillis>,
    pub by: Known,
}

/// What they are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Something that a browser doesn't send by itself.
    Token,
    /// A certificate, which it does.
    Certificate,
}

/// What a page needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody may.
    Nothing,
    /// A role: of one tenant it is shown what is of that tenant.
    See,
    /// A role for all tenants.
    SeeAll,
    /// A role that changes things; of one tenant, what is of that tenant.
    Change,
    /// A role that changes things of all tenants.
    ChangeAll,
}

impl Needs {
    /// # Errors
    /// It is said which role would do.
    pub fn permit(self, role: &Role) -> Result<(), Wrong> {
        let (fits, roles) = match self {
            Needs::Nothing | Needs::See => (true, "any role"),
            Needs::SeeAll => (role.may_see(None), "viewer, operator or owner"),
            Needs::Change => (
                role.may_change(role.tenant().map(|tenant| &**tenant)),
                "tenant-admin, operator or owner",
            ),
            Needs::ChangeAll => (role.may_change(None), "operator or owner"),
        };
        match fits {
            true => Ok(()),
            false => Err(Wrong::forbidden(format!(
                "a {role} may not do this: {roles} may"
            ))),
        }
    }
}

impl Caller {
    /// Whether they may see what is of this tenant; the answer doesn't tell whether
    /// there is one.
    pub fn may_see(&self, tenant: &str) -> Result<(), Wrong> {
        match self.role.may_see(Some(tenant)) {
            true => Ok(()),
            false => Err(self.own_only()),
        }
    }

    pub fn may_change(&self, tenant: &str) -> Result<(), Wrong> {
        self.may_see(tenant)?;
        match self.role.may_change(Some(tenant)) {
            true => Ok(()),
            false => Err(Wrong::forbidden(format!("a {} changes nothing", self.role))),
        }
    }

    fn own_only(&self) -> Wrong {
        let own = self.role.tenant().map_or("", |own| own);
        Wrong {
            parameter: Some("tenant"),
            ..Wrong::forbidden(format!("a tenant-admin of {own} may ask about {own} only"))
        }
    }

    /// Which tenant lists are narrowed to, where one was asked for.
    pub fn narrowed(&self, tenant: Option<&str>) -> Result<Option<Arc<str>>, Wrong> {
        match (tenant, self.role.tenant()) {
            (Some(tenant), _) => self.may_see(tenant).map(|()| Some(tenant.into())),
            (None, own) => Ok(own.cloned()),
        }
    }
}
