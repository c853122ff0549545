//! The algorithms of signatures (RFC 7518) that are taken, of providers and of clients.

use jsonwebtoken::Algorithm;

/// Asymmetric algorithms only. With a shared secret, whoever can check a token can also make one.
pub(crate) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provider;

    #[test]
    fn all_of_them_are_taken_by_default() {
        let variables = [("AUTH0_DOMAIN", "a.example"), ("AUTH0_CLIENT_ID", "id"), ("AUTH0_CLIENT_SECRET", "x")];
        let provider = Provider::for_tests("auth.provider = 'auth0'", &variables);
        let names = ALGORITHMS.map(|algorithm| format!("{algorithm:?}"));
        assert_eq!(provider.verify.algorithms.iter().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    }
}
