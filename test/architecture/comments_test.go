package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every package, exported identifier and exported field has a comment. A comment above the first of several fields on
// consecutive lines is for all of them.
func TestComments(t *testing.T) {
	files := token.NewFileSet()
	described := make(map[string]bool) // package folders
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != "." && name != ".."):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := filepath.Dir(path)
		described[folder] = described[folder] || file.Doc != nil
		for _, declaration := range file.Decls {
			checkDeclaration(t, files, declaration)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, is := range described {
		if !is {
			t.Errorf("%s has no package comment", folder)
		}
	}
}

func checkDeclaration(t *testing.T, files *token.FileSet, declaration ast.Decl) {
	missing := func(name *ast.Ident) {
		t.Errorf("%s: %s has no comment", files.Position(name.Pos()), name.Name)
	}
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		// Error and Unwrap are self-explanatory.
		if d.Name.IsExported() && d.Name.Name != "Error" && d.Name.Name != "Unwrap" && d.Doc == nil && (d.Recv == nil || isExportedType(d.Recv.List[0].Type)) {
			missing(d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if !s.Name.IsExported() {
					continue
				}
				if d.Doc == nil && s.Doc == nil {
					missing(s.Name)
				}
				if fields, is := s.Type.(*ast.StructType); is {
					checkFields(files, fields, missing)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						missing(name)
					}
				}
			}
		}
	}
}

func checkFields(files *token.FileSet, fields *ast.StructType, missing func(*ast.Ident)) {
	covered, last := false, 0
	for _, field := range fields.Fields.List {
		if files.Position(field.Pos()).Line != last+1 {
			covered = false
		}
		covered = covered || field.Doc != nil
		last = files.Position(field.End()).Line
		for _, name := range field.Names {
			if name.IsExported() && !covered && field.Comment == nil {
				missing(name)
			}
		}
	}
}

func isExportedType(receiver ast.Expr) bool {
	switch r := receiver.(type) {
	case *ast.StarExpr:
		return isExportedType(r.X)
	case *ast.IndexExpr:
		return isExportedType(r.X)
	case *ast.IndexListExpr:
		return isExportedType(r.X)
	case *ast.Ident:
		return r.IsExported()
	}
	return false
}
