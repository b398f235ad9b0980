package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
)

// An eventRecord is a record of an event log, as far as a plot needs it: a header, or an
// event. rtcpeer/EVENTLOG.md describes the fields.
type eventRecord struct {
	Version string `json:"qlog_version"`
	Title   string
	Trace   struct {
		Common struct {
			Start float64 `json:"reference_time"`
			Group string  `json:"group_id"`
		} `json:"common_fields"`
	}

	Time  float64
	Name  string
	Group string `json:"group_id"`
	Data  struct {
		State         string
		Timer         string
		DataBytes     float64 `json:"data_bytes"`
		DataChunks    float64 `json:"data_chunks"`
		Retransmitted float64
		FirstTSN      uint32  `json:"first_tsn"`
		LastTSN       uint32  `json:"last_tsn"`
		TSN           uint32  `json:"tsn"`
		CumulativeTSN *uint32 `json:"cumulative_tsn"`
		Window        float64 `json:"congestion_window"`
		InFlight      float64 `json:"bytes_in_flight"`
		SmoothedRTT   float64 `json:"smoothed_rtt"`
		MinRTT        float64 `json:"min_rtt"`
		PacingRate    float64 `json:"pacing_rate"`
		PathMoved     bool    `json:"path_moved"`
		Remote        string
	}
}

// A labelled is a moment with a text.
type labelled struct {
	at   float64 // seconds
	text string
}

// A history is what an event log says of the data that its end sends, over the time in
// seconds since the first event.
type history struct {
	title                  string
	end                    float64 // time of the last event
	sent, acked, received  []point // bytes in total
	delivered              []point // bytes in total: data that was sent, and is neither in flight nor lost
	resent, lost           []point // position in the data, in bytes
	window, inFlight       []point // bytes
	smoothedRTT, minRTT    []point // milliseconds
	pacing                 []point // bits a second
	timeouts, paths, state []labelled

	sequence    sequence
	transmitted float64 // bytes, each transmission counted
	missing     float64 // bytes of it that were declared lost
}

// A sequence knows the position in the data that a TSN has.
type sequence struct {
	chunks []sequenceChunk // in the order of their TSN
	total  float64         // bytes
}

// A sequenceChunk is the data of one packet that was sent for the first time.
type sequenceChunk struct {
	last uint32  // TSN
	end  float64 // bytes up to here
}

// after reports whether TSN a follows b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// add notes data of n bytes, of which the last TSN is last.
func (s *sequence) add(last uint32, n float64) {
	s.total += n
	s.chunks = append(s.chunks, sequenceChunk{last, s.total})
}

// isNew reports whether a TSN was not sent before.
func (s *sequence) isNew(tsn uint32) bool {
	return len(s.chunks) == 0 || after(tsn, s.chunks[len(s.chunks)-1].last)
}

// position returns how many bytes were sent up to a TSN.
func (s *sequence) position(tsn uint32) float64 {
	i := sort.Search(len(s.chunks), func(i int) bool { return after(s.chunks[i].last, tsn) })
	if i == 0 {
		return 0
	}
	return s.chunks[i-1].end
}

// errNoLog is the error for a file that has no header of an event log.
var errNoLog = errors.New("the file is no event log: give a file that rtcpeer.Config.EventLog has written")

// readHistory reads the events of one connection from an event log. group is its group id;
// if it is empty, the connection is the one that has sent most.
func readHistory(r io.Reader, group string) (*history, error) {
	histories, err := readHistories(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	if h := histories[group]; h != nil {
		return h, nil
	}
	if group != "" {
		return nil, fmt.Errorf("the event log has no group %q: it has %q", group, slices.Sorted(maps.Keys(histories)))
	}
	var most *history
	for _, name := range slices.Sorted(maps.Keys(histories)) {
		if h := histories[name]; most == nil || h.transmitted > most.transmitted {
			most = h
		}
	}
	return most, nil
}

// readHistories reads the events of all connections, by their group ids.
func readHistories(in *bufio.Reader) (map[string]*history, error) {
	histories := map[string]*history{}
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if n == 1 {
				return nil, errNoLog
			}
			return histories, nil // a last record that was cut off is left out
		}
		if err != nil {
			return nil, err
		}
		var e eventRecord
		if err := json.Unmarshal(bytes.TrimPrefix(line, []byte{0x1e}), &e); err != nil {
			if n == 1 {
				return nil, errNoLog
			}
			return nil, fmt.Errorf("record %d of the event log: %w", n, err)
		}
		if e.Version != "" {
			histories[e.Trace.Common.Group] = &history{title: e.Title}
			continue
		}
		h := histories[e.Group]
		if n == 1 {
			return nil, errNoLog
		}
		if h == nil {
			return nil, fmt.Errorf("record %d of the event log: its group %q has no header", n, e.Group)
		}
		h.add(e.Time/1000, &e)
	}
}

// add takes an event. t is its time in seconds.
func (h *history) add(t float64, e *eventRecord) {
	h.end = max(h.end, t)
	d := &e.Data
	switch e.Name {
	case "sctp:packet_sent":
		if d.DataChunks > 0 {
			h.addSent(t, e)
		}
	case "sctp:packet_received":
		if d.CumulativeTSN != nil {
			h.acked = append(h.acked, point{t, h.sequence.position(*d.CumulativeTSN)})
		}
		if d.DataBytes > 0 {
			h.received = append(h.received, point{t, lastValue(h.received) + d.DataBytes})
		}
	case "recovery:metrics_updated":
		h.window = append(h.window, point{t, d.Window})
		h.inFlight = append(h.inFlight, point{t, d.InFlight})
		h.delivered = append(h.delivered, point{t, max(h.transmitted-h.missing-d.InFlight, lastValue(h.delivered))})
		if d.SmoothedRTT > 0 {
			h.smoothedRTT = append(h.smoothedRTT, point{t, d.SmoothedRTT})
		}
		if d.MinRTT > 0 {
			h.minRTT = append(h.minRTT, point{t, d.MinRTT})
		}
		h.pacing = append(h.pacing, point{t, d.PacingRate})
	case "recovery:chunk_lost":
		h.lost = append(h.lost, point{t, h.sequence.position(d.TSN)})
		h.missing += d.DataBytes
	case "recovery:timeout":
		h.timeouts = append(h.timeouts, labelled{t, d.Timer})
		if d.Timer == "retransmission" {
			h.missing += d.InFlight // everything in flight is declared lost
		}
	case "ice:pair_selected":
		h.paths = append(h.paths, labelled{t, "path to " + d.Remote})
	case "connection:state_changed":
		h.state = append(h.state, labelled{t, d.State})
	}
}

// addSent takes a packet with data. Of a packet that has both, the new chunks count as
// bytes in proportion to their number.
func (h *history) addSent(t float64, e *eventRecord) {
	d := &e.Data
	h.transmitted += d.DataBytes
	if d.Retransmitted > 0 {
		h.resent = append(h.resent, point{t, h.sequence.position(d.FirstTSN)})
	}
	if fresh := d.DataChunks - d.Retransmitted; fresh > 0 && h.sequence.isNew(d.LastTSN) {
		h.sequence.add(d.LastTSN, d.DataBytes*fresh/d.DataChunks)
		h.sent = append(h.sent, point{t, h.sequence.total})
	}
}

// lastValue returns the value of the last point; 0: there is none.
func lastValue(points []point) float64 {
	if len(points) == 0 {
		return 0
	}
	return points[len(points)-1].y
}

// valueAt returns the value of the last point before a time; 0: there is none.
func valueAt(points []point, t float64) float64 {
	i, _ := slices.BinarySearchFunc(points, t, func(p point, t float64) int {
		if p.x < t {
			return -1
		}
		return 1
	})
	return lastValue(points[:i])
}

// rate returns by how much a total grows a second, in n intervals of the same length.
func rate(total []point, from, to float64, n int) (out []point) {
	width := (to - from) / float64(n)
	before := valueAt(total, from)
	for i := range n {
		at := from + width*float64(i)
		now := valueAt(total, at+width)
		out = append(out, point{at, (now - before) / width})
		before = now
	}
	return out
}

// highest returns the highest value of a curve; 0: there is none.
func highest(points []point) (most float64) {
	for _, p := range points {
		most = max(most, p.y)
	}
	return most
}
