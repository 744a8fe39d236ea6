package importer

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// input is a file to read.
type input struct {
	path       string
	partitions []partition
}

// expand lists the files, with those in folders, as Spark, Hive and DuckDB write tables, in the
// order of their names. There, names that begin with _ or . are of files beside the data.
func expand(paths []string) (files []input, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, input{path: path})
			continue
		}
		before, root := len(files), path+string(filepath.Separator) // also of a link to a folder
		err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			switch hidden := strings.HasPrefix(entry.Name(), "_") || strings.HasPrefix(entry.Name(), "."); {
			case err != nil:
				return err
			case file == root:
				return nil
			case hidden && entry.IsDir():
				return fs.SkipDir
			case hidden || entry.IsDir():
				return nil
			}
			info, err := os.Stat(file) // of what a link leads to
			if err != nil {
				return err
			}
			if info.IsDir() {
				return fmt.Errorf("%s is a link to a folder: import that one by its own name", file)
			}
			files = append(files, input{file, partitionsOf(path, file)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the files of %s: %w", path, err)
		}
		if len(files) == before {
			return nil, fmt.Errorf("the folder %s has no files but those whose names begin with _ or a dot", path)
		}
	}
	return files, nil
}

// partitionsOf reads the columns in the names of folders: type=click.
func partitionsOf(root, file string) (all []partition) {
	folder, _ := filepath.Rel(root, filepath.Dir(file)) // one is below the other
	for part := range strings.SplitSeq(filepath.ToSlash(folder), "/") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		if value == "__HIVE_DEFAULT_PARTITION__" { // NULL
			value = ""
		}
		all = append(all, partition{name, value})
	}
	return all
}
