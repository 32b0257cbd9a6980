module servers

go 1.24
