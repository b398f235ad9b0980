package main

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"purertc/rtcpeer"
)

// A pasted line is a description as JSON, compressed, in characters that every terminal
// and chat program leaves as they are.
const linePrefix = "rtccat1-"

// maxDescription bounds the size of the JSON that a pasted line decompresses to.
const maxDescription = 64 << 10

var errLine = errors.New("this is not a line of rtccat: copy all of it, from " + linePrefix + " to its end")

func lineOf(d rtcpeer.Description) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // NewWriter fails only for an unknown compression level
	json.NewEncoder(w).Encode(d)
	w.Close()
	return linePrefix + base64.RawURLEncoding.EncodeToString(b.Bytes())
}

func parseLine(line string) (d rtcpeer.Description, err error) {
	text, ok := strings.CutPrefix(line, linePrefix)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		return d, errLine
	}
	inflated := io.LimitReader(flate.NewReader(bytes.NewReader(b)), maxDescription)
	if json.NewDecoder(inflated).Decode(&d) != nil {
		return d, errLine
	}
	return d, nil
}
