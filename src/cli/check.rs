//! `weir check`: says everything that is wrong with a configuration.

use crate::config::{self, Config, Outside, Process};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Prints what the file holds, or on standard error what is wrong with it.
/// Exit code 0 if `serve` would take the file, else 1.
pub fn run(path: &Path) -> ExitCode {
    let (out, err) = (&mut io::stdout(), &mut io::stderr());
    match check(path, &Process, out, err) {
        Ok(true) => ExitCode::SUCCESS,
        // Nobody is left to tell that the output is gone.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Whether the file is fine.
fn check(
    path: &Path,
    outside: &dyn Outside,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    match config::load_file(path, outside) {
        Ok(config) => {
            for warning in &config.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "{}: ok ({})", path.display(), contents(&config))?;
            Ok(true)
        }
        Err(problems) => {
            writeln!(err, "{problems}")?;
            Ok(false)
        }
    }
}

/// As in "4 models, 1 plan, 2 tenants, 2 keys", and the rate limit service's
/// domains and webhooks where there are any.
fn contents(config: &Config) -> String {
    let counted = [
        (config.snapshot.models.len(), "model"),
        (config.snapshot.plans.len(), "plan"),
        (config.tenants, "tenant"),
        (config.snapshot.keys.len(), "key"),
        (config.snapshot.domains.len(), "domain"),
        (config.alerts.webhooks.len(), "webhook"),
    ];
    let texts: Vec<String> = counted
        .into_iter()
        .filter(|(count, what)| *count > 0 || !matches!(*what, "domain" | "webhook"))
        .map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Outside for Fixed {
        fn env(&self, _name: &str) -> Option<Vec<u8>> {
            Some(b"pepper-of-32-bytes-for-the-tests".to_vec())
        }

        fn file(&self, path: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
            let good = include_str!("../config/tests/good.yaml");
            match path.to_str() {
                Some("good.yaml") => Ok(good.into()),
                Some("limiting.yaml") => {
                    let rule = "{ match: [ { key: a } ], unlimited: true }";
                    let service = format!(
                        "rate_limit_service: {{ domains: {{ d: {{ rules: [ {rule} ] }} }} }}"
                    );
                    Ok([good, &service].concat().into())
                }
                Some("bad.yaml") => Ok(good.replace("600", "-5").replace("1m,", "1,").into()),
                Some("noisy.yaml") => Ok(good.replace("ledger:", "# ledger:").into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    fn checked(path: &str) -> (bool, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let fine = check(Path::new(path), &Fixed, &mut out, &mut err).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (fine, text(out), text(err))
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let (fine, out, err) = checked("good.yaml");
        assert!(fine);
        assert_eq!(out, "good.yaml: ok (4 models, 1 plan, 2 tenants, 2 keys)\n");
        assert_eq!(err, "");
    }

    #[test]
    fn domains_are_counted_where_there_are_any() {
        let (fine, out, _) = checked("limiting.yaml");
        assert!(fine && out.contains("2 keys, 1 domain)"), "{out}");
    }

    #[test]
    fn warnings_do_not_make_a_file_bad() {
        let (fine, out, err) = checked("noisy.yaml");
        assert!(fine && out.contains(": ok ("));
        let expected =
            "warning: noisy.yaml: ledger: is not set: what calls use is recorded nowhere\n";
        assert_eq!(err, expected);
    }

    #[test]
    fn a_bad_file_says_all_on_standard_error() {
        let (fine, out, err) = checked("bad.yaml");
        assert!(!fine);
        assert_eq!(out, "");
        assert!(err.contains("bad.yaml:19:48: plans.team.limits[0].amount: must be more than 0"));
        assert!(err.contains("limits[1].every: needs its unit"), "{err}");
        assert!(err.ends_with("bad.yaml: 3 problems\n"), "{err}");
        assert!(!checked("missing.yaml").0);
    }
}
