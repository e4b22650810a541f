// Checks an audit log with code that is not the project's own: Go's golang.org/x/mod/sumdb/{note,tlog}, which serve Go's
// checksum database. All that is done here is to map C2SP tlog-tiles paths and entry bundles to those packages.
//
// It opens the checkpoint's signature, recomputes the root from the entries alone, reads the tiles against the signed root,
// and checks an inclusion proof for every entry.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileWidth = 256

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: tlog-go FOLDER VERIFIER-KEY")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "tlog-go:", err)
		os.Exit(1)
	}
}

func check(folder, vkey string) error {
	tree, err := checkpoint(folder, vkey)
	if err != nil {
		return err
	}
	entries, err := readEntries(folder, tree.N)
	if err != nil {
		return err
	}

	// The root from the entries alone, without a tile.
	var hashes []tlog.Hash
	stored := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = hashes[index]
		}
		return found, nil
	})
	for n, entry := range entries {
		more, err := tlog.StoredHashes(int64(n), entry, stored)
		if err != nil {
			return err
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the entries lead to the root %v, the checkpoint is signed for %v", root, tree.Hash)
	}

	// Every tile as a client reads it, and an inclusion proof for every entry from the tiles.
	tiles := tlog.TileHashReader(tree, &tileReader{folder: folder, cache: map[string][]byte{}})
	for n, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(n), tiles)
		if err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), tlog.RecordHash(entry)); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
	}
	fmt.Printf("tlog-go: %d entries, root %v, every inclusion proof holds\n", tree.N, tree.Hash)
	return nil
}

// checkpoint opens the signed note, and reads the C2SP checkpoint in it.
func checkpoint(folder, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	bytes, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(bytes, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("the checkpoint is not of the log %q", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("the checkpoint's root %q is no hash", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// readEntries reads all entry bundles: each entry is a uint16 length and its bytes.
func readEntries(folder string, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*tileWidth < size; n++ {
		width := size - n*tileWidth
		if width > tileWidth {
			width = tileWidth
		}
		// The path of a level 0 tile, with `entries` in the level's place.
		tile := tlog.Tile{H: 8, L: 0, N: n, W: int(width)}
		rest := strings.TrimPrefix(tile.Path(), "tile/8/0/")
		bytes, err := readTile(folder, "tile/entries/"+rest)
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(bytes) < 2 || len(bytes) < 2+int(binary.BigEndian.Uint16(bytes)) {
				return nil, fmt.Errorf("bundle %d ends inside entry %d", n, n*tileWidth+i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bytes))
			entries = append(entries, bytes[2:end])
			bytes = bytes[end:]
		}
	}
	return entries, nil
}

// readTile reads a tile's file, or that of the full tile where the partial one has given way to it.
func readTile(folder, path string) ([]byte, error) {
	bytes, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(path)))
	if before, _, partial := strings.Cut(path, ".p/"); os.IsNotExist(err) && partial {
		return os.ReadFile(filepath.Join(folder, filepath.FromSlash(before)))
	}
	return bytes, err
}

// tileReader gives C2SP tiles to tlog, which checks them against the signed root.
type tileReader struct {
	folder string
	cache  map[string][]byte
}

func (r *tileReader) Height() int { return 8 }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// Go writes the tile height into the path; C2SP, where it is always 8, does not.
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		bytes, known := r.cache[path]
		if !known {
			var err error
			if bytes, err = readTile(r.folder, path); err != nil {
				return nil, err
			}
			if want := tile.W * tlog.HashSize; len(bytes) > want {
				bytes = bytes[:want]
			}
			r.cache[path] = bytes
		}
		found = append(found, bytes)
	}
	return found, nil
}

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
