! What Fortran programs do: recursion, internal procedures as arguments, arrays, files, an exit status.
module shapes
    implicit none
    type, abstract :: shape
    contains
        procedure(area_of), deferred :: area
    end type shape
    type, extends(shape) :: square
        real :: side = 0
    contains
        procedure :: area => square_area
    end type square
    abstract interface
        real function area_of(self)
            import :: shape
            class(shape), intent(in) :: self
        end function area_of
    end interface
contains
    real function square_area(self)
        class(square), intent(in) :: self
        square_area = self%side ** 2
    end function square_area

    recursive integer function ackermann(m, n) result(value)
        integer, intent(in) :: m, n
        if (m == 0) then
            value = n + 1
        else if (n == 0) then
            value = ackermann(m - 1, 1)
        else
            value = ackermann(m - 1, ackermann(m, n - 1))
        end if
    end function ackermann

    integer function total(work, count)
        interface
            integer function work(number)
                integer, intent(in) :: number
            end function work
        end interface
        integer, intent(in) :: count
        integer :: index
        total = 0
        do index = 1, count
            total = total + work(index)
        end do
    end function total
end module shapes

program everything
    use shapes
    implicit none
    character(len=32) :: text
    integer :: unit, index, status, read_back, seen
    class(shape), allocatable :: one
    real :: values(101)
    call get_command_argument(1, text)
    print *, command_argument_count(), trim(text), ackermann(2, 3)
    seen = 7
    print *, total(with_seen, 11)
    allocate (square :: one)
    select type (one)
    type is (square)
        one%side = 3
    end select
    print *, one%area()
    values = [(sqrt(real(index)), index = 1, 101)]
    print '(f10.4, f10.4)', sum(values), maxval(matmul(reshape(values(1:100), [10, 10]), values(1:10)))
    open (newunit=unit, status='scratch', form='formatted')
    do index = 1, 11
        write (unit, '(i5, 1x, f8.3)') index, values(index)
    end do
    rewind (unit)
    seen = 0
    do
        read (unit, *, iostat=status) read_back
        if (status /= 0) exit
        seen = seen + read_back
    end do
    close (unit)
    open (newunit=unit, file='/no/such/file', status='old', iostat=status)
    print *, seen, status /= 0
    call execute_command_line('exit 5', exitstat=status)
    print *, status
    stop 3
contains
    integer function with_seen(number)
        integer, intent(in) :: number
        with_seen = number * seen
    end function with_seen
end program everything
