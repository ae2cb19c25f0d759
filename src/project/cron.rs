//! When a job is due: the line of cron that its file has, by the clock of its zone. Daymill does not wait for it; schedulers do.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// Five fields: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub text: String,
    cron: Cron,
}

impl Schedule {
    /// Reads a line of cron; what is wrong with it otherwise.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|e| e.to_string())?;
        Ok(Schedule { text: text.to_owned(), cron })
    }

    /// The first time after `at` at which it is due.
    pub fn next(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&at.with_timezone(&zone), false).ok().map(|next| next.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::instant;

    #[test]
    fn a_schedule_is_due_by_the_clock_of_its_zone() {
        let next = |line: &str, at: &str| {
            let at: DateTime<Utc> = at.parse().unwrap();
            instant(Schedule::parse(line).unwrap().next(at, Tz::America__New_York).unwrap())
        };
        assert_eq!(next("0 3 * * *", "2013-06-08T07:00:00Z"), "2013-06-09T07:00:00Z");
        assert_eq!(next("0 3 * * *", "2013-12-08T07:59:59Z"), "2013-12-08T08:00:00Z");
        assert_eq!(next("30 6 * * MON-FRI", "2013-06-07T12:00:00Z"), "2013-06-10T10:30:00Z");
        // The clock skips 02:30 that night, and shows 01:30 twice in autumn.
        assert_eq!(next("30 2 * * *", "2013-03-10T05:00:00Z"), "2013-03-10T07:00:00Z");
        assert_eq!(next("30 1 * * *", "2013-11-03T04:00:00Z"), "2013-11-03T05:30:00Z");
    }

    #[test]
    fn what_is_no_line_of_cron_is_said_to_be_none() {
        for wrong in ["", "0 3 * *", "61 3 * * *", "0 0 3 * * *", "every night", "0 25 * * *", "@midnigh"] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
