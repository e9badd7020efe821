//! A call that needs somebody's approval, as they are asked for it.

use crate::identity::{Principal, format, user_or_key};
use crate::units::{Millis, UnixMillis};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The bytes of an id: 128 bits of a hash, so that no two requests share one by
/// chance, and nobody finds a second one of the same id.
const ID_BYTES: usize = 16;

/// Who may answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Approver {
    /// An operator or an owner.
    Operator,
    /// The tenant's own admin as well.
    TenantAdmin,
}

/// Somebody's calls of a model, held back by a rule until they are approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// [`ApprovalRequest::id_of`] them.
    pub id: Arc<str>,
    pub asked_at: UnixMillis,
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub key_id: Arc<str>,
    pub plan: Arc<str>,
    /// The rule that wants it approved.
    pub rule: Arc<str>,
    pub model: Arc<str>,
    /// The path of the endpoint that was called.
    pub endpoint: Arc<str>,
    /// The most that the call may cost, in nano-dollars.
    pub cost_max_nanos: u64,
    /// How long a grant holds where its giver doesn't say.
    pub valid_for: Millis,
    /// Whom to ask, as the rule says it: `finance@acme.com`.
    pub approvers: Option<Arc<str>>,
    pub approver: Approver,
    /// It is forgotten then, unless it is asked for again.
    pub expires_at: UnixMillis,
}

impl Approver {
    pub const ALL: [Approver; 2] = [Approver::Operator, Approver::TenantAdmin];

    pub fn as_str(self) -> &'static str {
        match self {
            Approver::Operator => "operator",
            Approver::TenantAdmin => "tenant_admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl ApprovalRequest {
    /// The id of what this caller asks for: the same on every sidecar and each time,
    /// so that who tries again asks for the same. It is of the tenant, the user (or
    /// the key, where it names none), the rule and the model, each with its length
    /// before it.
    pub fn id_of(who: &Principal, rule: &str, model: &str) -> Arc<str> {
        Self::id_of_parts(&who.tenant, who.user.as_deref(), &who.key_id, rule, model)
    }

    /// [`ApprovalRequest::id_of`] one who isn't at hand.
    pub fn id_of_parts(
        tenant: &str,
        user: Option<&str>,
        key_id: &str,
        rule: &str,
        model: &str,
    ) -> Arc<str> {
        let mut hash = Sha256::new();
        for part in [tenant, &user_or_key(user, key_id), rule, model] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; ID_BYTES];
        id.iter_mut().zip(hash).for_each(|(to, byte)| *to = byte);
        format::approval_id(id).into()
    }
}
