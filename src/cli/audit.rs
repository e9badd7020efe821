//! `weir audit`: who did what with a running weir, and in its database.

use super::server::{ServerArgs, query};
use super::tokens::{lines, told};
use hyper::Method;
use std::process::ExitCode;

/// Print who did what: keys and tokens made, replaced, withdrawn, limits reset. One
/// JSON object a line, the first first.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only what was done to this tenant's.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only what was done to this key, token or tenant.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Only what was done after this sequence.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
}

/// Exit code 0 if weir answered as asked, else 1.
pub fn run(args: &AuditArgs) -> ExitCode {
    told("weir audit", all(args))
}

fn all(args: &AuditArgs) -> anyhow::Result<String> {
    let server = args.server.named()?;
    let (mut text, mut after) = (String::new(), args.after.map(|after| after.to_string()));
    loop {
        let parameters = [
            ("limit", Some("999")),
            ("tenant", args.tenant.as_deref()),
            ("subject", args.subject.as_deref()),
            ("after", after.as_deref()),
        ];
        let page = server.ask(Method::GET, &query("/v1/audit", &parameters), None)?;
        text += &lines(&page["deeds"]);
        match page["next"].as_u64() {
            Some(next) => after = Some(next.to_string()),
            None => return Ok(text),
        }
    }
}
