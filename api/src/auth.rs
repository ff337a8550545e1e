//! Who calls: the API key of a request and what its bearer may do.
//!
//! A handler names the scope it needs in its signature (`caller: Caller<Submit>`), so it cannot forget to ask.

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use gristmill_core::ids::{KeyId, OrgId};
use gristmill_store::{
    keys::{self, ApiKey, Scope},
    orgs,
};

use crate::{app::Shared, problem::ApiError};

/// The installation's own organization; its administrators look after the others.
const INSTALLATION: &str = "default";
/// Longer texts are no keys of ours.
const LONGEST_KEY: usize = 512;

/// What a handler needs its caller's key to hold.
pub(crate) trait Need: Send + Sync + 'static {
    /// The scope; `None` where any valid key will do.
    const SCOPE: Option<Scope>;
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident = $scope:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $name {}
        impl Need for $name {
            const SCOPE: Option<Scope> = $scope;
        }
    )* };
}

needs! {
    /// Any valid key.
    Anyone = None;
    /// May look.
    Read = Some(Scope::Read);
    /// May hand in work.
    Submit = Some(Scope::Submit);
    /// May steer work.
    Operate = Some(Scope::Operate);
    /// May do everything.
    Admin = Some(Scope::Admin);
}

/// The caller, once its key was found to be valid and to hold what `N` needs.
#[derive(Debug)]
pub(crate) struct Caller<N> {
    /// Whose key it is.
    pub(crate) org: OrgId,
    /// The key, without its secret.
    pub(crate) key: ApiKey,
    need: PhantomData<N>,
}

impl<N> Caller<N> {
    /// True if the key also holds `scope`.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        scope.granted_by(&self.key.scopes)
    }

    /// Refuses unless the key also holds `scope`.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) { Ok(()) } else { Err(ApiError::ScopeMissing(scope)) }
    }

    /// True for an administrator of the installation itself.
    pub(crate) async fn runs_installation(&self, app: &Shared) -> Result<bool, ApiError> {
        if !self.may(Scope::Admin) {
            return Ok(false);
        }
        let tx = app.engine.db().org(self.org).await?;
        let own = orgs::own(&tx).await?;
        tx.commit().await?;
        Ok(own.is_some_and(|org| org.name == INSTALLATION))
    }

    /// Refuses unless the caller administers the installation itself.
    pub(crate) async fn need_installation(&self, app: &Shared) -> Result<(), ApiError> {
        if self.runs_installation(app).await? { Ok(()) } else { Err(ApiError::InstallationOnly) }
    }
}

impl<N: Need> FromRequestParts<Shared> for Caller<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, ApiError> {
        let presented = bearer(&parts.headers).ok_or(ApiError::Unauthorized)?;
        let tx = app.engine.db().system().await?;
        let key = keys::authenticate(&tx, presented).await?;
        tx.commit().await?;
        let key = key.ok_or(ApiError::Unauthorized)?;
        if let Some(seen) = parts.extensions.get::<Seen>() {
            seen.note(key.org_id, key.id);
        }
        let caller = Self { org: key.org_id, key, need: PhantomData };
        if let Some(scope) = N::SCOPE {
            caller.need(scope)?;
        }
        Ok(caller)
    }
}

/// The credentials of the scheme `Bearer` (RFC 6750), where there are just one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, another) = (values.next()?, values.next());
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    let acceptable =
        another.is_none() && scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= LONGEST_KEY;
    acceptable.then_some(key)
}

/// Where the caller is noted for the request's log line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<OnceLock<(OrgId, KeyId)>>);

impl Seen {
    fn note(&self, org: OrgId, key: KeyId) {
        // A handler asks once; a second note would say the same.
        let _noted = self.0.set((org, key));
        tracing::Span::current().record("org.id", tracing::field::display(org));
    }

    /// Whose request it was, if it came with a valid key.
    pub(crate) fn get(&self) -> Option<(OrgId, KeyId)> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::bearer;
    use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    fn with(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_bearer_key_is_read_and_nothing_else() {
        assert_eq!(bearer(&with(&["Bearer gm_x"])), Some("gm_x"));
        assert_eq!(bearer(&with(&["bearer  gm_x"])), Some("gm_x"));
        for wrong in [&[][..], &["Basic gm_x"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&with(wrong)), None, "{wrong:?}");
        }
    }
}
