package pipeline

import "fmt"

// Status says of each output what became of the packets that were meant for it,
// since its queue was made: with a spool, that is since the first start of the
// daemon. It may be called concurrently with Run.
func (p *Pipeline) Status() []string {
	var lines []string
	for _, t := range p.trees {
		for _, s := range t.stacks {
			for _, r := range s.runners {
				lines = append(lines, r.status())
			}
		}
	}
	return lines
}

// status is an equation that always holds. Rows that wait for less than it takes
// to write the line may be counted on both sides.
func (r *runner) status() string {
	p, t := r.queue.Progress(), r.queue.Tally()
	return fmt.Sprintf("%s: packets %d = written %d + rejected %d + waiting %d + filtered %d + refused %d + lost %d",
		r.env.Queue, p.Packets, t.Written, t.Rejected, t.Waiting, p.Filtered, p.Refused, p.Lost+t.Lost)
}
