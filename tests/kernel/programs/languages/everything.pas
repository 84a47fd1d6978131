{ What Pascal programs do: exceptions by long jumps, nested procedures, objects, threads, files. }
program everything;
{$mode objfpc}{$H+}
uses cthreads, sysutils, classes;

type
  TOwn = class(Exception);
  TWorker = class(TThread)
    index, value: integer;
    procedure Execute; override;
  end;

function deep(depth: integer): integer;
begin
  if depth = 0 then raise TOwn.Create('deep');
  try
    deep := deep(depth - 1) + 1;
  finally
    deep := 0;
  end;
end;

function caught(depth: integer): integer;
begin
  try
    caught := deep(depth);
  except
    on e: TOwn do caught := 17;
  end;
end;

procedure TWorker.Execute;
begin
  value := index * 10 + caught(index);
end;

function ackermann(m, n: longint): longint;
begin
  if m = 0 then ackermann := n + 1
  else if n = 0 then ackermann := ackermann(m - 1, 1)
  else ackermann := ackermann(m - 1, ackermann(m, n - 1));
end;

var
  workers: array [0..4] of TWorker;
  index, none: integer;
  lines, again: TStringList;
begin
  writeln(ParamCount, ' ', ParamStr(1), ' ', ackermann(2, 3));
  writeln(caught(7));
  none := 0;
  try
    writeln(7 div none);
  except
    on e: EDivByZero do writeln('division');
  end;
  for index := 0 to 4 do
  begin
    workers[index] := TWorker.Create(true);
    workers[index].index := index;
    workers[index].Start;
  end;
  for index := 0 to 4 do
  begin
    workers[index].WaitFor;
    write(workers[index].value, ' ');
    workers[index].Free;
  end;
  writeln;
  lines := TStringList.Create;
  for index := 1 to 11 do lines.Add(Format('line %d %.3f', [index, sqrt(index)]));
  lines.Sort;
  lines.SaveToFile(ParamStr(1));
  again := TStringList.Create;
  again.LoadFromFile(ParamStr(1));
  writeln(again.Count, ' ', again[10]);
  DeleteFile(ParamStr(1));
  Halt(3);
end.
