// Go's `bufio.Scanner`, or with the argument textproto `net/textproto.Reader.ReadLineBytes`.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/textproto"
	"os"
)

func tell(kind, value string) {
	data, _ := json.Marshal(map[string]string{kind: value})
	os.Stdout.Write(append(data, '\n'))
}

func scan() {
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		tell("line", hex.EncodeToString(scanner.Bytes()))
	}
	if err := scanner.Err(); err != nil {
		tell("error", err.Error())
	}
}

func readLines() {
	reader := textproto.NewReader(bufio.NewReader(os.Stdin))
	for {
		line, err := reader.ReadLineBytes()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return
		}
		if err != nil {
			tell("error", err.Error())
			return
		}
		tell("line", hex.EncodeToString(line))
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "textproto" {
		readLines()
	} else {
		scan()
	}
	tell("end", "")
}
