//! What a PostgreSQL backend writes over its arguments:
//! `postgres: [CLUSTER: ]USER DATABASE CLIENT ACTIVITY`.

/// Whom a backend serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) client: String,
}

/// The session of the title; none if it is not certain which words are the names.
pub(super) fn session(title: &str) -> Option<Session> {
    let rest = title.strip_prefix("postgres: ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let at = words.iter().position(|word| is_client(word))?;
    let names = match words.get(..at)? {
        [user, database] => [user, database],
        // `cluster_name`
        [cluster, user, database] if cluster.ends_with(':') => [user, database],
        _ => return None,
    };
    let [user, database] = names.map(|name| (*name).to_owned());
    Some(Session { user, database, client: (*words.get(at)?).to_owned() })
}

/// `[local]`, `127.0.0.1(51282)`, `fe80::1(51282)`, `client.example(51282)`
fn is_client(word: &str) -> bool {
    word == "[local]"
        || word.strip_suffix(')').and_then(|word| word.rsplit_once('(')).is_some_and(
            |(host, port)| {
                !host.is_empty()
                    && !port.is_empty()
                    && port.bytes().all(|byte| byte.is_ascii_digit())
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_from_titles() {
        let read =
            |title: &str| session(title).map(|found| (found.user, found.database, found.client));
        let expected = |user: &str, database: &str, client: &str| {
            Some((user.to_owned(), database.to_owned(), client.to_owned()))
        };
        assert_eq!(read("postgres: u db [local] SELECT"), expected("u", "db", "[local]"));
        let remote = "postgres: 17/main: u db 127.0.0.1(51282) idle";
        assert_eq!(read(remote), expected("u", "db", "127.0.0.1(51282)"));
    }

    #[test]
    fn what_is_not_certain_is_not_said() {
        assert_eq!(session("postgres: a user db [local] idle"), None);
        assert_eq!(session("postgres: parallel worker for PID 7"), None);
        assert_eq!(session("/usr/sbin/mariadbd"), None);
    }
}
