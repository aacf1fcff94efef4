package schema

import "time"

// Day is a partition: the rows of a day in UTC.
type Day struct {
	Name     string // such as p20261127
	From, To int64  // seconds since 1970, the last one exclusive
}

// DayOf is the partition for a time.
func DayOf(t time.Time) Day {
	t = t.UTC().Truncate(24 * time.Hour)
	return Day{t.Format("p20060102"), t.Unix(), t.Unix() + 24*60*60}
}

// Days are the partitions from the day of a time on to the one so many days ahead.
func Days(from time.Time, ahead int) (days []Day) {
	for i := range ahead + 1 {
		days = append(days, DayOf(from.UTC().AddDate(0, 0, i)))
	}
	return days
}
