//! What may be typed. Each value is read into its type here, so that what reaches the work is valid.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gnotify_record::{Fop, Gfid, HOST_FOPS, Origin, Watch};
use jiff::Zoned;

use crate::moment;

const EXIT_STATUS: &str = "\
Exit status:
  0  done; also when the reader of the output went away, and when --follow was ended by a signal
  1  something could not be read or written, or the journal is damaged
  2  the command line is wrong
  3  there is no brick, no journal or no segment at the path
  4  permission denied
  5  the journal is in a format of a later version";

/// What changed on a GlusterFS brick, from the journal that the gnotify translator keeps there.
#[derive(Debug, Parser)]
#[command(name = "gnotify", version, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dump(Dump),
    Verify(Verify),
}

/// Print a brick's journal, one segment of it, or a changelog of GlusterFS's own
///
/// A line an entry: a record of a change, or a statement of the journal about itself, which begins
/// with two hyphens. Nothing is ever written to the brick.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Dump {
    /// A brick's directory, a segment (a file BRICK/.glusterfs/gnotify/*.gnj or *.gnz), or of a changelog a slice, an index or
    /// all (a directory BRICK/.glusterfs/changelogs)
    #[arg(value_name = "BRICK|SEGMENT|CHANGELOG")]
    pub(crate) path: PathBuf,

    /// Print JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// Go on as the journal grows, until interrupted; wait for a journal that does not exist yet
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Show paths instead of gfids, as the brick has them now
    #[arg(long)]
    pub(crate) paths: bool,

    /// Print times in UTC instead of local time
    #[arg(long, conflicts_with = "json")]
    pub(crate) utc: bool,

    /// Only entries from this time on, such as "2026-11-20 09:30:00", @1795160863 or "10min ago"
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) since: Option<u64>,

    /// Only entries before this time
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) until: Option<u64>,

    /// Only records of these file operations, such as create,write
    #[arg(long, value_name = "FOP,...", value_parser = fop, value_delimiter = ',')]
    pub(crate) fop: Vec<Fop>,

    /// Only records that name this inode: as what changed, its directory, or what it replaced
    #[arg(long, value_name = "GFID", value_parser = gfid, value_delimiter = ',')]
    pub(crate) gfid: Vec<Gfid>,

    /// Only records from clients whose uid string, in which their host stands, contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) client: Vec<String>,

    /// Only records that came from there: client, self-heal, rebalance, geo-rep, quota, bitrot,
    /// shard or internal
    #[arg(long, value_name = "ORIGIN,...", value_parser = origin, value_delimiter = ',')]
    pub(crate) origin: Vec<Origin>,
}

const VERIFIED: &str = "\
Exit status:
  0  whole; also where the journal itself tells of gaps, or its last entry is not finished
  1  damaged, or not readable for another reason
  2  the command line is wrong
  3  there is no brick, no journal or no segment at a path
  4  permission denied
  5  the journal is in a format of a later version";

/// Check a brick's journal, segments of it or changelogs of GlusterFS's own, and say what is wrong where
///
/// Goes through every byte: headers, checksums, the account of the sequence numbers, and what entries
/// say of each other. A line for each finding, and one that sums up. Nothing is ever changed.
#[derive(Debug, Args)]
#[command(after_help = VERIFIED)]
pub(crate) struct Verify {
    /// Directories of bricks, segments (files BRICK/.glusterfs/gnotify/*.gnj or *.gnz), slices and indexes of changelogs, or
    /// directories of them (BRICK/.glusterfs/changelogs)
    #[arg(value_name = "BRICK|SEGMENT|CHANGELOG", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Print JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

fn time(text: &str) -> Result<u64, String> {
    moment::parse(text, &Zoned::now())
}

fn fop(text: &str) -> Result<Fop, String> {
    Fop::by_name(text).filter(|fop| fop.class().is_some()).ok_or_else(|| {
        let names: Vec<String> = HOST_FOPS
            .iter()
            .filter(|row| matches!(row.watch, Watch::Watched(_)))
            .map(|row| row.name.to_lowercase())
            .collect();
        format!("no such file operation is journalled; these are: {}", names.join(", "))
    })
}

fn gfid(text: &str) -> Result<Gfid, String> {
    text.parse::<Gfid>().map_err(|error| error.to_string())
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::by_name(&text.to_lowercase()).ok_or_else(|| {
        let names: Vec<&str> = Origin::ALL.iter().map(|origin| origin.name()).collect();
        format!("expected one of: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn dump(args: &[&str]) -> Result<Dump, String> {
        let args = ["gnotify", "dump", "/brick"].iter().chain(args);
        match Cli::try_parse_from(args) {
            Ok(Cli { command: Command::Dump(dump) }) => Ok(dump),
            Ok(cli) => panic!("{cli:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn fops_are_named_in_any_case_one_by_one_or_in_a_list() {
        let dump = dump(&["--fop", "create,Write", "--fop=UNLINK"]).unwrap();
        assert_eq!(dump.fop, [Fop::CREATE, Fop::WRITE, Fop::UNLINK]);
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        for name in ["frobnicate", "lookup", "null", ""] {
            let error = dump(&["--fop", name]).unwrap_err();
            assert!(error.contains("rename") && !error.contains("readdirp"), "{error}");
        }
        let error = dump(&["--origin", "martian"]).unwrap_err();
        assert!(error.contains("self-heal"), "{error}");
        let error = dump(&["--gfid", "17"]).unwrap_err();
        assert!(error.contains("8-4-4-4-12"), "{error}");
        let error = dump(&["--since", "soon"]).unwrap_err();
        assert!(error.contains("2 hours ago"), "{error}");
    }

    #[test]
    fn a_span_back_may_begin_with_a_hyphen() {
        assert!(dump(&["--since", "-10min", "--until", "-5min"]).is_ok());
        assert!(dump(&["--since=-10min"]).is_ok());
    }
}
