// SPDX-License-Identifier: Apache-2.0

// Writes vectors.json with Go's own transparency log: package golang.org/x/mod/sumdb.
// See README.md for how it is run. Nothing of this project takes part.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin = "log.example/numbers"
	count  = 40
)

type head struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	Note string    `json:"note"`
}

type inclusion struct {
	Size  int64       `json:"size"`
	Index int64       `json:"index"`
	Proof []tlog.Hash `json:"proof"`
}

type consistency struct {
	Old   int64       `json:"old"`
	Size  int64       `json:"size"`
	Proof []tlog.Hash `json:"proof"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	secret, public, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), origin)
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)

	var heads []head
	var inclusions []inclusion
	var consistencies []consistency
	for size := int64(1); size <= count; size++ {
		added, err := tlog.StoredHashes(size-1, []byte(fmt.Sprintf("leaf %d", size-1)), reader)
		check(err)
		stored = append(stored, added...)
		root, err := tlog.TreeHash(size, reader)
		check(err)
		text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		check(err)
		heads = append(heads, head{size, root, string(signed)})
		if size%8 != 7 && size%13 != 0 {
			continue
		}
		for index := int64(0); index < size; index++ {
			proof, err := tlog.ProveRecord(size, index, reader)
			check(err)
			inclusions = append(inclusions, inclusion{size, index, proof})
			if index == 0 {
				continue
			}
			tree, err := tlog.ProveTree(size, index, reader)
			check(err)
			consistencies = append(consistencies, consistency{index, size, tree})
		}
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	check(encoder.Encode(map[string]interface{}{
		"vkey": public, "seed": strings.Repeat("07", 32), "heads": heads,
		"inclusions": inclusions, "consistencies": consistencies,
	}))
	check(os.WriteFile("vectors.json", []byte(out.String()), 0o644))
}
