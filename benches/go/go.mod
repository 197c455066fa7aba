module gambol-benches

go 1.22
